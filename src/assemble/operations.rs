//! `/livez`, `/readyz` and `/metrics` of the roles that serve nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::indexer;
use crate::projector::Stopped;

/// Whether the process takes work.
#[derive(Debug, Default)]
pub struct Health {
    ready: AtomicBool,
    /// Of this process' projector.
    pub projections: Arc<Stopped>,
    /// Of this process' indexer.
    pub index: Arc<indexer::Stopped>,
}

impl Health {
    /// From now on.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Whether it does.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && self.projections.count() == 0 && self.index.count() == 0
    }
}

/// The routes.
pub fn router(health: Arc<Health>, metrics: PrometheusHandle) -> Router {
    let ready = |State(health): State<Arc<Health>>| async move {
        if health.is_ready() { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") }
    };
    Router::new()
        .route("/livez", get(|| async { "alive" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(move || std::future::ready(metrics.render())))
        .with_state(health)
}
