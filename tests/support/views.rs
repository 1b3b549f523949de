//! Looking at the tables of all projections.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;
use tidings::projector::catalog;
use tidings::store::Store;

/// By table, all rows in order.
pub type Tables = BTreeMap<String, Vec<serde_json::Value>>;

async fn tables(store: &Store) -> Vec<String> {
    let schemas: Vec<_> = catalog::all().iter().map(|projection| projection.name.clone()).collect();
    let query = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname = ANY($1)";
    sqlx::query_scalar(query).bind(schemas).fetch_all(store.pool()).await.expect("tables")
}

/// Empties them.
pub async fn empty(store: &Store) {
    let all = format!("TRUNCATE {}", tables(store).await.join(", "));
    sqlx::raw_sql(AssertSqlSafe(all)).execute(store.pool()).await.expect("emptied");
}

/// Everything in them.
pub async fn dump(store: &Store) -> Tables {
    let mut dump = Tables::new();
    for table in tables(store).await {
        let query = format!("SELECT to_jsonb(t) FROM {table} t ORDER BY to_jsonb(t)::TEXT");
        let rows = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(store.pool()).await.expect("rows");
        dump.insert(table, rows);
    }
    dump
}
