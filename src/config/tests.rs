#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::Write;
use std::path::Path;

use super::{Config, ConfigError, DEFAULTS, SECRETS, SecurityProtocol};

fn load(file: Option<&str>, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let pairs = pairs.iter().copied();
        pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
    };
    let file = file.map(|text| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    });
    let path = file.as_ref().map(tempfile::NamedTempFile::path);
    Config::load_with(path, owned(environment), &owned(flags))
}

fn refusal(file: Option<&str>, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    match load(file, environment, flags) {
        Ok(_) => panic!("was accepted: {file:?} {environment:?} {flags:?}"),
        Err(error) => error.to_string(),
    }
}

/// Structs refuse unknown fields and have no defaults of their own, so this also holds the file of defaults to the code:
/// a field missing in either would fail.
#[test]
fn defaults_are_a_configuration() {
    let config = load(None, &[], &[]).unwrap();
    assert_eq!(config.gateway.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.gateway.tls(), None);
    assert_eq!(config.kafka.partitions, 32);
    assert!(!config.postgres.url.is_set());
}

#[test]
fn later_layers_win() {
    let file = "[gateway]\nlisten = \"127.0.0.1:1\"\nmax_body_bytes = 4096\n[limits]\nname_bytes = 99\n";
    let environment = [
        ("TIDINGS_GATEWAY__LISTEN", "127.0.0.1:2"),
        ("TIDINGS_LIMITS__NAME_BYTES", "1_00"),
        ("TIDINGS_DEV__FRESH", "true"),
    ];
    let flags = [("gateway.listen", "127.0.0.1:3")];
    let config = load(Some(file), &environment, &flags).unwrap();
    assert_eq!(config.gateway.listen.port(), 3);
    assert_eq!(config.limits.name_bytes, 100);
    assert_eq!(config.gateway.max_body_bytes, 4096);
    assert!(config.dev.fresh);
}

#[test]
fn the_environment_may_name_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tidings.toml");
    std::fs::write(&path, "[dev]\npartitions = 3\n").unwrap();
    let path = path.to_str().unwrap();
    let config = load(None, &[("TIDINGS_CONFIG", path)], &[]).unwrap();
    assert_eq!(config.dev.partitions, 3);
    let missing = refusal(None, &[("TIDINGS_CONFIG", "/nowhere/tidings.toml")], &[]);
    assert!(missing.contains("/nowhere/tidings.toml"), "{missing}");
}

#[test]
fn a_password_of_digits_stays_text() {
    let environment = [
        ("TIDINGS_KAFKA__SECURITY_PROTOCOL", "sasl_ssl"),
        ("TIDINGS_KAFKA__SASL_USERNAME", "007"),
        ("TIDINGS_KAFKA__SASL_PASSWORD", "123456"),
    ];
    let config = load(None, &environment, &[]).unwrap();
    assert_eq!(config.kafka.sasl_password.expose(), "123456");
    assert_eq!(config.kafka.security_protocol, SecurityProtocol::SaslSsl);
    assert_eq!(config.kafka.client().get("sasl.username"), Some("007"));
}

#[test]
fn unknown_settings_are_named_all_at_once() {
    let file = "[gatway]\na = 1\n[gateway]\nlissten = \"x\"\n";
    let environment = [
        ("TIDINGS_KAFKA__BROKER", "x:1"),
        ("TIDINGS_POSTGRES_URL", "postgres://x"),
        ("TIDINGS_GATEWAY_SERVICE_HOST", "10.0.0.1"),
    ];
    let said = refusal(Some(file), &environment, &[("limits.speed", "1")]);
    for expected in [
        "no section gatway",
        "no setting gateway.lissten",
        "TIDINGS_KAFKA__BROKER: there is no setting kafka.broker",
        "TIDINGS_POSTGRES_URL: not a setting; TIDINGS_POSTGRES__URL is",
        "limits.speed: there is no setting limits.speed",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in: {said}");
    }
    assert!(!said.contains("SERVICE_HOST"), "{said}");
}

#[test]
fn bad_values_are_refused_with_name_value_and_what_is_allowed() {
    for (path, value, expected) in [
        ("gateway.listen", "8080", "gateway.listen = \"8080\""),
        ("gateway.max_connections", "0", "gateway.max_connections = 0: allowed is 1 to"),
        ("gateway.max_connections", "many", "\"many\": allowed is a whole number"),
        ("gateway.hellos_per_second", "0", "gateway.hellos_per_second = 0: allowed is 1 to"),
        ("gateway.drain_ms", "-1", "gateway.drain_ms = -1: allowed is"),
        ("kafka.replication_factor", "70000", "kafka.replication_factor = 70000: allowed is u16"),
        ("kafka.security_protocol", "tls", "\"tls\": allowed is plaintext, ssl, sasl_plaintext, sasl_ssl"),
        ("kafka.brokers", "localhost", "kafka.brokers = \"localhost\": allowed is host:port"),
        ("kafka.sasl_mechanism", "GSSAPI", "kafka.sasl_mechanism = GSSAPI: allowed is PLAIN"),
        ("postgres.tls", "on", "\"on\": allowed is disable, prefer, require, verify-ca, verify-full"),
        ("log.level", "tidings=loud", "log.level"),
        ("log.format", "xml", "\"xml\": allowed is text, json"),
        ("limits.watched_users", "201", "limits.watched_users = 201: allowed is 1 to 200"),
        ("dev.fresh", "yes", "\"yes\": allowed is true or false"),
    ] {
        let said = refusal(None, &[], &[(path, value)]);
        assert!(said.contains(expected), "{expected:?} is not in: {said}");
    }
    let said = refusal(Some("[gateway]\nlisten = 8080\n"), &[], &[]);
    assert!(said.contains("gateway.listen: allowed is text in quotes"), "{said}");
    let said = refusal(Some("[gateway]\ndrain_ms = 1.5\n"), &[], &[]);
    assert!(said.contains("gateway.drain_ms: allowed is a whole number"), "{said}");
}

#[test]
fn relations_are_checked() {
    for (settings, expected) in [
        (&[("gateway.tls_certificate", "c.pem")][..], "gateway.tls_certificate is set but gateway.tls_key is not"),
        (&[("sessions.overdue_ms", "5999")], "sessions.overdue_ms = 5999: allowed is at least 3 × sessions.renew_ms"),
        (
            &[("kafka.min_insync_replicas", "2")],
            "kafka.min_insync_replicas = 2: allowed is 1 to kafka.replication_factor",
        ),
        (&[("kafka.security_protocol", "sasl_ssl")], "kafka.sasl_username and kafka.sasl_password must be set"),
        (&[("kafka.ssl_ca", "ca.pem")], "does not use the kafka.ssl_ settings"),
        (&[("limits.message_text_bytes", "70000")], "gateway.max_frame_bytes = 65536: allowed is at least"),
        (
            &[("gateway.outbox_bytes", "4096")],
            "gateway.outbox_bytes = 4096: allowed is at least gateway.max_frame_bytes",
        ),
        (&[("crypto.token_max_ttl_ms", "1000")], "crypto.token_ttl_ms = 86400000: allowed is at most"),
        (&[("sequencer.load_timeout_ms", "10000")], "less than gateway.command_timeout_ms"),
    ] {
        let said = refusal(None, &[], settings);
        assert!(said.contains(expected), "{expected:?} is not in: {said}");
    }
}

#[test]
fn no_message_or_debug_output_shows_a_secret() {
    const MARK: &str = "hunter2";
    for name in SECRETS {
        let (section, field) = name.split_once('.').unwrap();
        for text in [
            format!("[{section}]\n{field} = [\"{MARK}\"]\n"),
            format!("[{section}]\n{field} = \"{MARK}\" {MARK}\n"),
            format!("[{section}]\n{field} = {MARK}\n"),
            format!("[{section}]\n{field} = \"{MARK}\"\nnonsense = 1\n"),
        ] {
            let said = refusal(Some(&text), &[], &[]);
            assert!(!said.contains(MARK), "{said}");
        }
        // Wrong as an address, a key or a lone password; where it is none of these, the debug output is looked at.
        match load(None, &[], &[(name, MARK)]) {
            Ok(config) => assert!(!format!("{config:?}").contains(MARK)),
            Err(error) => assert!(!error.to_string().contains(MARK), "{error}"),
        }
    }
    let url = format!("postgres://tidings:{MARK}@host/db");
    let config = load(None, &[("TIDINGS_POSTGRES__URL", &url)], &[]).unwrap();
    assert!(!format!("{config:?}").contains(MARK));
    assert!(config.postgres.url.expose().contains(MARK));
}

#[test]
fn secrets_come_from_files_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("url");
    std::fs::write(&path, "postgres://u:p@db:5433/views\n").unwrap();
    let path = path.to_str().unwrap();
    let config = load(None, &[("TIDINGS_POSTGRES__URL_FILE", path)], &[]).unwrap();
    let options = config.postgres.connect_options().unwrap();
    assert_eq!((options.get_host(), options.get_port()), ("db", 5433));

    let both = [("TIDINGS_POSTGRES__URL_FILE", path), ("TIDINGS_POSTGRES__URL", "postgres://x/y")];
    assert!(refusal(None, &both, &[]).contains("are both set"));
    let missing = refusal(None, &[], &[("crypto.token_key_file", "/nowhere/key")]);
    assert!(missing.contains("crypto.token_key_file = /nowhere/key: cannot be read"), "{missing}");
}

#[test]
fn every_secret_has_a_file_setting() {
    for name in SECRETS {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("empty");
        std::fs::write(&path, "\n").unwrap();
        let setting = format!("{name}_file");
        let said = refusal(None, &[], &[(&setting, path.to_str().unwrap())]);
        assert!(said.contains(&format!("{setting} = ")), "{said}");
    }
}

#[test]
fn postgres_options_say_how_far_the_connection_is_protected() {
    let url = ("postgres.url", "postgres://u:p@db/views");
    let config = load(None, &[], &[url, ("postgres.tls", "verify-full")]).unwrap();
    let options = config.postgres.connect_options().unwrap();
    assert!(matches!(options.get_ssl_mode(), sqlx::postgres::PgSslMode::VerifyFull));
    assert!(options.get_options().unwrap().contains("statement_timeout=10000"));

    let said = refusal(None, &[], &[("postgres.url", "postgres://u:p@db/views?sslmode=disable")]);
    assert!(said.contains("use postgres.tls"), "{said}");
    let unset = load(None, &[], &[]).unwrap().postgres.connect_options();
    assert!(unset.is_err_and(|e| e.to_string().contains("TIDINGS_POSTGRES__URL")));
}

#[test]
fn master_keys_are_read_from_lines_or_from_one_line() {
    let (a, b) = ("QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=", "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=");
    let keys = |text: String| {
        load(None, &[("TIDINGS_CRYPTO__MASTER_KEYS", &text)], &[]).and_then(|config| config.crypto.master_keys())
    };
    let shown = |text: String| format!("{:?}", keys(text).unwrap());
    for text in [format!("k2:{b}\nk1:{a}\n"), format!("k2:{b},k1:{a}"), format!(" k2:{b} k1:{a}")] {
        let shown = shown(text);
        assert!(shown.find("k2") < shown.find("k1") && shown.contains("k2"), "{shown}");
        assert!(!shown.contains("QUFB") && !shown.contains("65, 65"), "{shown}");
    }
    assert!(
        keys(format!("k1:{a},k1:{b}")).is_err_and(|e| e.to_string().contains("line 2 of the master keys has the id"))
    );
    assert!(keys("k1:QUFB".to_owned()).is_err_and(|e| e.to_string().contains("line 1 of the master keys is not")));
    let unset = load(None, &[], &[]).unwrap().crypto.master_keys();
    assert!(unset.is_err_and(|e| e.to_string().contains("TIDINGS_CRYPTO__MASTER_KEYS_FILE")));
}

#[test]
fn kafka_accepts_the_client_configurations() {
    use rdkafka::consumer::BaseConsumer;
    use rdkafka::producer::BaseProducer;
    let settings = [
        ("kafka.security_protocol", "sasl_ssl"),
        ("kafka.sasl_username", "u"),
        ("kafka.sasl_password", "p"),
        ("kafka.brokers", "127.0.0.1:1"),
    ];
    let kafka = load(None, &[], &settings).unwrap().kafka;
    kafka.client().create::<BaseProducer>().unwrap();
    kafka.client().set("group.id", "group").create::<BaseConsumer>().unwrap();
}

/// `docs/configuration.md` is made from the comments of the defaults. `UPDATE_DOCS=1 cargo test` writes it again.
#[test]
fn the_page_in_docs_is_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (introduction, _) = page.split_once("<!-- settings -->").unwrap();
    let expected = format!("{introduction}<!-- settings -->\n{}", tables());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    } else {
        assert!(page == expected, "docs/configuration.md is behind: run UPDATE_DOCS=1 cargo test the_page_in_docs");
    }
}

fn tables() -> String {
    let mut out = String::new();
    let mut comment: Vec<&str> = Vec::new();
    let mut section = "";
    for line in DEFAULTS.lines() {
        if let Some(text) = line.strip_prefix("# ") {
            comment.push(text);
        } else if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
            out += &format!("\n## {section}\n\n| setting | default | |\n|---|---|---|\n");
            comment.clear();
        } else if let Some((field, value)) = line.split_once(" = ") {
            assert!(!comment.is_empty(), "{section}.{field} has no comment");
            let text = std::mem::take(&mut comment).join(" ");
            let value = if value == "\"\"" { "not set".to_owned() } else { format!("`{value}`") };
            let is_secret = SECRETS.contains(&format!("{section}.{field}").as_str());
            assert_eq!(is_secret, text.ends_with("Secret."), "{section}.{field}");
            out += &format!("| `{section}.{field}` | {value} | {text} |\n");
        }
    }
    out
}
