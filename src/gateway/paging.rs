//! How much of what was asked for fits into a page.

/// A page of long rows is shorter than asked for.
pub const MAX_PAGE_BYTES: usize = 262_144;

/// The bytes of a page that is being filled.
#[derive(Default)]
pub struct PageBytes {
    taken: usize,
    begun: bool,
}

impl PageBytes {
    /// Whether a row of so many bytes still fits. The first one always does, so that every page gets on.
    pub fn fits(&mut self, row_bytes: usize) -> bool {
        self.taken += row_bytes;
        !std::mem::replace(&mut self.begun, true) || self.taken <= MAX_PAGE_BYTES
    }
}
