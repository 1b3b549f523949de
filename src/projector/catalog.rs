//! The folders of `projections/`, compiled in.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use anyhow::Context;
use include_dir::{Dir, include_dir};
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use sqlx::{AssertSqlSafe, PgPool};

static FOLDER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/projections");

/// The key of a file that is run for every type of event.
pub const ANY: &str = "*";

/// A projection: its tables, and the SQL that each type of event means for them.
#[derive(Debug)]
pub struct Projection {
    /// Also the name of its schema in Postgres.
    pub name: String,
    /// Topic that it is fed from: a journal, or `presence`.
    pub source: String,
    tables: &'static str,
    events: BTreeMap<String, &'static str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    source: String,
    events: BTreeMap<String, String>,
}

static ALL: LazyLock<Result<Vec<Projection>, String>> = LazyLock::new(|| {
    FOLDER
        .dirs()
        .map(|folder| read(folder).map_err(|error| format!("{}: {error:#}", folder.path().display())))
        .collect()
});

/// All of them.
///
/// # Panics
/// If a folder cannot be understood, which a test excludes.
#[expect(clippy::panic, reason = "the folders are part of the program; a test reads them all")]
pub fn all() -> &'static [Projection] {
    match &*ALL {
        Ok(all) => all,
        Err(error) => panic!("a projection is broken: {error}"),
    }
}

/// Those fed from `source`.
pub fn of_source(source: &str) -> Vec<&'static Projection> {
    all().iter().filter(|projection| projection.source == source).collect()
}

fn read(folder: &'static Dir<'static>) -> anyhow::Result<Projection> {
    let file = |name: &str| {
        let file = folder.get_file(folder.path().join(name)).with_context(|| format!("{name} is missing"))?;
        file.contents_utf8().with_context(|| format!("{name} is not UTF-8"))
    };
    let manifest: Manifest = toml::from_str(file("manifest.toml")?)?;
    let events = manifest.events.into_iter().map(|(kind, name)| Ok((kind, file(&name)?)));
    let events = events.collect::<anyhow::Result<_>>()?;
    Ok(Projection { name: manifest.name, source: manifest.source, tables: file("tables.sql")?, events })
}

impl Projection {
    /// The SQL for a type of event. Of two types that share a file it is the same.
    pub fn file(&self, kind: &str) -> Option<&'static str> {
        self.events.get(kind).copied()
    }

    /// The SQL that is run once a wave, whatever its types.
    pub fn any(&self) -> Option<&'static str> {
        self.file(ANY)
    }

    /// Of its tables, to know those of another version.
    fn fingerprint(&self) -> String {
        let digest = digest(&SHA256, self.tables.as_bytes());
        digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Makes its tables in `schema`, unless that is there.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn install(&self, pool: &PgPool, schema: &str) -> anyhow::Result<Installed> {
        let mut transaction = pool.begin().await?;
        // Several processes start at once.
        sqlx::query("SELECT pg_advisory_xact_lock(7305812)").execute(&mut *transaction).await?;
        // Not by `to_regnamespace`: it asks a cache, which remembers from `search_path` that the schema was not there, and does not learn
        // from waiting for an advisory lock that another process has made it.
        let found: Option<Option<String>> =
            sqlx::query_scalar("SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = $1")
                .bind(schema)
                .fetch_optional(&mut *transaction)
                .await?;
        let fingerprint = self.fingerprint();
        if let Some(found) = found {
            return Ok(if found == Some(fingerprint) { Installed::Kept } else { Installed::Outdated });
        }
        let script = format!(
            "CREATE SCHEMA {schema}; COMMENT ON SCHEMA {schema} IS '{fingerprint}'; SET LOCAL search_path TO {schema}; {}",
            self.tables
        );
        sqlx::raw_sql(AssertSqlSafe(script))
            .execute(&mut *transaction)
            .await
            .with_context(|| format!("cannot make the tables of {schema}"))?;
        transaction.commit().await?;
        Ok(Installed::Made)
    }
}

/// What [`Projection::install`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// Nothing; the tables are there now, and empty.
    Made,
    /// The tables of this version.
    Kept,
    /// The tables of another version of this program.
    Outdated,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_is_whole() {
        assert!(all().len() >= 6);
        for folder in FOLDER.dirs() {
            let projection = read(folder).expect("reads");
            assert_eq!(folder.path().to_str(), Some(projection.name.as_str()));
            let used: Vec<_> = projection.events.values().collect();
            for file in folder.files() {
                let name = file.path().file_name().and_then(|n| n.to_str()).expect("a name");
                let named = ["manifest.toml", "tables.sql"].contains(&name)
                    || used.iter().any(|sql| Some(**sql) == file.contents_utf8());
                assert!(named, "{} is used by no event", file.path().display());
            }
        }
    }
}
