//! Looking at views as they stand in Postgres.

use sqlx::{PgPool, Row};

/// Every row of every table of a projection, as text, sorted.
pub async fn rows(pool: &PgPool, projection: &str) -> Vec<String> {
    let tables = sqlx::query(
        "SELECT table_name::text AS name FROM information_schema.tables WHERE table_schema = $1 ORDER BY 1",
    );
    let tables = tables.bind(projection).fetch_all(pool).await.expect("tables");
    assert!(!tables.is_empty(), "{projection} has no tables");
    let mut all = Vec::new();
    for table in tables {
        let table: String = table.get("name");
        let query = format!("SELECT to_jsonb(t)::text AS row FROM {projection}.{table} t ORDER BY 1");
        let found = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(pool).await.expect("rows");
        all.extend(found.iter().map(|row| format!("{table} {}", row.get::<String, _>("row"))));
    }
    all
}
