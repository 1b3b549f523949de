//! Long work as a bar on the terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of `things` done, for work that is called `doing`.
///
/// # Errors
/// If the style does not parse, which is a defect.
pub fn bar(doing: impl Into<String>, things: &str) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template(&format!("{{msg}} {{wide_bar}} {{pos}}/{{len}} {things} {{eta}}"))?;
    Ok(ProgressBar::new(0).with_style(style).with_message(doing.into()))
}

/// Shows how much is done, and of how much, which may grow.
pub fn show(bar: &ProgressBar) -> impl Fn(u64, u64) + Sync {
    |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    }
}
