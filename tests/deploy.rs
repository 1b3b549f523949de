//! The files of the deployment agree with the program: its settings, its commands, the secrets it is given.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidings::config::{Config, DEFAULTS, SECRETS};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).expect(name)
}

/// Every `TIDINGS_SECTION__FIELD` in a file, with the value that stands behind `:` or `=`.
fn variables(text: &str) -> Vec<(String, String)> {
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.match_indices("TIDINGS_")
        .map(|(at, _)| {
            let rest = &text[at..];
            let name = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
            let value = rest[name.len()..].trim_start_matches([':', '=']).trim_start();
            let value = value.split([' ', '\n', ',', '`']).next().unwrap_or_default();
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

fn setting(variable: &str) -> String {
    variable.trim_start_matches("TIDINGS_").replacen("__", ".", 1).to_lowercase()
}

#[test]
fn every_variable_is_a_setting_with_a_value_that_is_allowed() {
    let defaults: toml::Table = DEFAULTS.parse().expect("the defaults are TOML");
    for file in ["docker-compose.yml", "Dockerfile", "docs/configuration.md"] {
        let found = variables(&read(file));
        assert!(!found.is_empty(), "{file} has no variables");
        for (variable, value) in found {
            if !variable.contains("__") {
                let known = ["TIDINGS_CONFIG", "TIDINGS_SECTION", "TIDINGS_"].contains(&variable.as_str());
                assert!(known, "{file}: {variable}");
                continue;
            }
            let name = setting(&variable);
            let is_there = name.split_once('.').and_then(|(section, field)| defaults.get(section)?.get(field));
            assert!(is_there.is_some(), "{file}: {variable} is no setting");
            // Files of secrets are not here, and two copies need three brokers.
            if name.ends_with("_file") || name == "kafka.min_insync_replicas" {
                continue;
            }
            if let Err(error) = Config::load(None, &[(name, value.clone())]) {
                panic!("{file}: {variable}={value}: {error}");
            }
        }
    }
}

/// Names of settings in the environment are checked by `deploy/kubernetes/check`; here the program reads the file itself.
#[test]
fn the_configuration_for_kubernetes_is_accepted() {
    let manifest = read("deploy/kubernetes/config/configmap.yaml");
    let (_, block) = manifest.split_once("  tidings.toml: |\n").expect("the file is there");
    // Files of secrets are not here.
    let lines: Vec<_> = block.lines().filter(|line| !line.contains("_file = ")).collect();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("tidings.toml");
    std::fs::write(&file, lines.join("\n")).expect("written");
    let config = Config::load(Some(&file), &[("kafka.sasl_password".to_owned(), "not one".to_owned())]).expect("loads");
    assert_eq!((config.kafka.replication_factor, config.kafka.min_insync_replicas), (3, 2));
}

#[test]
fn every_secret_file_is_declared_and_made() {
    let (compose, init) = (read("docker-compose.yml"), read("deploy/init"));
    let used: BTreeSet<_> = compose
        .match_indices("/run/secrets/")
        .map(|(at, path)| compose[at + path.len()..].split_whitespace().next().unwrap_or_default())
        .collect();
    assert!(used.contains("postgres_url") && used.contains("token_key"), "{used:?}");
    for name in used {
        let declared = format!("\n  {name}: {{ file: ./deploy/secrets/{name} }}");
        assert!(compose.contains(&declared), "{name} is not declared");
        assert!(init.contains(&format!("\ncreate {name} ")), "deploy/init does not make {name}");
    }
    // No secret stands in the file itself.
    for (variable, _) in variables(&compose) {
        assert!(!SECRETS.contains(&setting(&variable).as_str()), "{variable} is in the file");
    }
}

#[test]
fn what_init_makes_is_accepted() {
    let directory = tempfile::tempdir().expect("a directory");
    let init = directory.path().join("init");
    std::fs::copy(root().join("deploy/init"), &init).expect("copied");
    let made = Command::new("sh").arg(&init).output().expect("sh runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let secrets = directory.path().join("secrets");
    let file = |name: &str| secrets.join(name).to_string_lossy().into_owned();
    let settings = [
        ("postgres.url_file", file("postgres_url")),
        ("crypto.master_keys_file", file("master_keys")),
        ("crypto.token_key_file", file("token_key")),
    ];
    let config = Config::load(None, &settings.map(|(name, value)| (name.to_owned(), value))).expect("loads");
    assert!(config.crypto.master_keys().is_ok());
    assert_eq!(config.postgres.connect_options().expect("a good address").get_host(), "postgres");
    let password = std::fs::read_to_string(secrets.join("postgres_password")).expect("a password");
    assert!(config.postgres.url.expose().contains(password.trim()));
}

#[test]
fn only_the_proxy_is_published_and_only_on_loopback() {
    let compose = read("docker-compose.yml");
    let published: Vec<_> = compose
        .lines()
        .skip_while(|line| line.trim() != "ports:")
        .skip(1)
        .take_while(|line| line.trim().starts_with(['-', '#']))
        // Ports, also those to be switched on; not what is said about them.
        .filter(|line| line.contains("- "))
        .collect();
    assert_eq!(compose.matches("ports:").count(), 1);
    assert!(!published.is_empty());
    for port in published {
        assert!(port.contains("\"127.0.0.1:"), "{port}");
    }
}

/// HAProxy must be slower than the gateway, or it cuts sockets that live and answers that are about to come.
#[test]
fn the_proxy_waits_longer_than_the_gateway() {
    let proxy = read("deploy/haproxy.cfg");
    let timeout_ms = |name: &str| -> u128 {
        let line = proxy.lines().map(str::trim).find_map(|line| line.strip_prefix(&format!("timeout {name} ")));
        let text = line.unwrap_or_else(|| panic!("timeout {name} is not set"));
        let (number, unit) = text.split_at(text.len() - 1);
        let unit = match unit {
            "s" => 1_000,
            "m" => 60_000,
            _ => panic!("timeout {name} {text}"),
        };
        number.parse::<u128>().expect("a number") * unit
    };
    let gateway = Config::load(None, &[]).expect("defaults").gateway;
    assert!(timeout_ms("tunnel") > gateway.idle_timeout().as_millis());
    assert!(timeout_ms("server") > gateway.command_timeout.as_millis());
    assert!(timeout_ms("client") > gateway.command_timeout.as_millis());
}
