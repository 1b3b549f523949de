//! The layers a configuration is made of: defaults < file < environment < flags.
//!
//! The defaults name every setting, so they are also the schema: a layer may only hold what they hold, of the same
//! kind. Environment and flags are text and are read as the kind the default has; guessing the kind from the text
//! would make a number of a password of digits.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Num, Value};

use super::problems::{ConfigError, Problems};
use super::{Config, DEFAULTS, SECRETS};

const PREFIX: &str = "TIDINGS_";

/// The configuration as the layers say it; types are checked, values are not.
pub(super) fn merge(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: &[(String, String)],
) -> Result<Config, ConfigError> {
    let defaults = parse(DEFAULTS).map_err(|e| ConfigError::new(format!("the defaults: {e}")))?;
    let variables: Vec<_> = environment
        .into_iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?.to_owned(), value)))
        .collect();
    let named_by_environment = variables
        .iter()
        .find(|(name, value)| name == "CONFIG" && !value.is_empty())
        .map(|(_, value)| PathBuf::from(value));

    let mut problems = Problems::default();
    let from_file = match file.map(Path::to_owned).or(named_by_environment) {
        Some(path) => read_file(&path, &defaults, &mut problems)?,
        None => Dict::new(),
    };
    let from_environment = from_environment(&variables, &defaults, &mut problems);
    let mut from_flags = Dict::new();
    for (path, text) in overrides {
        set(&mut from_flags, &defaults, path, text, path, &mut problems);
    }
    problems.into_result()?;

    let figment = [defaults, from_file, from_environment, from_flags]
        .into_iter()
        .fold(Figment::new(), |figment, layer| figment.merge(Serialized::defaults(layer)));
    figment.extract().map_err(|error| refused(&figment, &error))
}

fn parse(text: &str) -> Result<Dict, String> {
    // The error's own text quotes the line, which may hold a secret.
    Toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |span| text.get(..span.start).unwrap_or(text).lines().count().max(1));
        format!("line {line}: not TOML: {}", error.message())
    })
}

fn read_file(path: &Path, defaults: &Dict, problems: &mut Problems) -> Result<Dict, ConfigError> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::new(format!("the configuration file {shown} cannot be read: {error}")))?;
    let layer = parse(&text).map_err(|error| ConfigError::new(format!("{shown}: {error}")))?;
    for (section, fields) in &layer {
        let Some(known) = defaults.get(section).and_then(Value::as_dict) else {
            problems.add(format!("{shown}: there is no section {section}"));
            continue;
        };
        let Some(fields) = fields.as_dict() else {
            problems.add(format!("{shown}: {section} is a section, not a value"));
            continue;
        };
        for (field, value) in fields {
            let name = format!("{section}.{field}");
            match known.get(field) {
                None => problems.add(format!("{shown}: there is no setting {name}")),
                Some(default) if kind(default) != kind(value) => {
                    let allowed = kind(default);
                    problems.add(format!("{shown}: {name}: allowed is {allowed}"));
                }
                Some(_) => {}
            }
        }
    }
    Ok(layer)
}

fn from_environment(variables: &[(String, String)], defaults: &Dict, problems: &mut Problems) -> Dict {
    let mut layer = Dict::new();
    for (name, text) in variables {
        let source = format!("{PREFIX}{name}");
        if let Some((section, field)) = name.split_once("__") {
            let path = format!("{section}.{field}").to_lowercase();
            set(&mut layer, defaults, &path, text, &source, problems);
        } else if let Some(meant) = with_one_underscore(name, defaults) {
            problems.add(format!("{source}: not a setting; {PREFIX}{meant} is, with two underscores"));
        }
        // Anything else may be there for other reasons: Kubernetes describes a service `tidings-gateway` in such names.
    }
    layer
}

fn with_one_underscore(name: &str, defaults: &Dict) -> Option<String> {
    let name = name.to_lowercase();
    defaults.iter().find_map(|(section, fields)| {
        let field = name.strip_prefix(section.as_str())?.strip_prefix('_')?;
        let known = fields.as_dict()?.contains_key(field);
        known.then(|| format!("{section}__{field}").to_uppercase())
    })
}

/// Puts `text` at `path` of `layer`, read as the kind that the default has.
fn set(layer: &mut Dict, defaults: &Dict, path: &str, text: &str, source: &str, problems: &mut Problems) {
    let found = path.split_once('.').and_then(|(section, field)| {
        let default = defaults.get(section)?.as_dict()?.get(field)?;
        Some((section, field, default))
    });
    let Some((section, field, default)) = found else {
        problems.add(format!("{source}: there is no setting {path}"));
        return;
    };
    let value = match default {
        Value::Num(..) => text.replace('_', "").parse::<i64>().ok().map(Value::from),
        Value::Bool(..) => text.parse::<bool>().ok().map(Value::from),
        _ => Some(Value::from(text)),
    };
    let Some(value) = value else {
        // Secrets are all text, so what is shown here is none.
        let allowed = kind(default);
        problems.add(format!("{source}: {path} = {text:?}: allowed is {allowed}"));
        return;
    };
    let section = layer.entry(section.to_owned()).or_insert_with(|| Value::from(Dict::new()));
    if let Value::Dict(_, fields) = section {
        fields.insert(field.to_owned(), value);
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(..) | Value::Char(..) => "text in quotes",
        Value::Bool(..) => "true or false",
        Value::Num(_, Num::F32(_) | Num::F64(_)) => "a number",
        Value::Num(..) => "a whole number",
        _ => "a single value",
    }
}

fn refused(figment: &Figment, error: &figment::Error) -> ConfigError {
    let name = error.path.join(".");
    let is_secret = SECRETS.contains(&name.as_str());
    let value = match figment.find_value(&name) {
        Ok(Value::String(_, text)) if !is_secret => format!(" = {text:?}"),
        Ok(Value::Num(_, number)) if !is_secret => {
            format!(" = {}", number.to_i128().unwrap_or_default())
        }
        _ => String::new(),
    };
    ConfigError::new(match &error.kind {
        figment::error::Kind::UnknownVariant(_, allowed) => {
            format!("{name}{value}: allowed is {}", allowed.join(", "))
        }
        figment::error::Kind::InvalidType(_, allowed) | figment::error::Kind::InvalidValue(_, allowed) => {
            format!("{name}{value}: allowed is {allowed}")
        }
        kind => format!("{name}{value}: {kind}"),
    })
}
