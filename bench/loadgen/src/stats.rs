//! Everything a run counts, shared by its clients, and the report made of it.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::payload::Tag;
use crate::procfs::CpuUse;

pub struct Stats {
    pub run: u32,
    start: Instant,
    /// Messages due in this span of the run's clock are the measured ones.
    window: Cell<(u64, u64)>,
    ack: RefCell<Histogram<u64>>,
    deliver: RefCell<Histogram<u64>>,
    sent: Cell<u64>,
    acked: Cell<u64>,
    delivered: Cell<u64>,
    /// Counted by arrival inside the window instead of by due time.
    acks_in_window: Cell<u64>,
    deliveries_in_window: Cell<u64>,
    pub total_sent: Cell<u64>,
    pub total_acked: Cell<u64>,
    pub total_delivered: Cell<u64>,
    pub rejected: Cell<u64>,
    pub disconnected: Cell<u64>,
    pub out_of_order: Cell<u64>,
    /// Every acknowledged (sender, seq), kept when asked for.
    acked_log: Option<RefCell<Vec<(u32, u32)>>>,
}

fn bump(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

fn histogram() -> RefCell<Histogram<u64>> {
    // Microseconds, up to ten minutes.
    RefCell::new(Histogram::new_with_bounds(1, 600_000_000, 3).expect("valid bounds"))
}

impl Stats {
    pub fn new(run: u32, keep_acks: bool) -> Stats {
        Stats {
            run,
            start: Instant::now(),
            window: Cell::new((u64::MAX, u64::MAX)),
            ack: histogram(),
            deliver: histogram(),
            sent: Cell::default(),
            acked: Cell::default(),
            delivered: Cell::default(),
            acks_in_window: Cell::default(),
            deliveries_in_window: Cell::default(),
            total_sent: Cell::default(),
            total_acked: Cell::default(),
            total_delivered: Cell::default(),
            rejected: Cell::default(),
            disconnected: Cell::default(),
            out_of_order: Cell::default(),
            acked_log: keep_acks.then(RefCell::default),
        }
    }

    /// The run's clock, in nanoseconds.
    pub fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    pub fn open_window(&self) {
        self.window.set((self.now(), u64::MAX));
    }

    pub fn close_window(&self) {
        self.window.set((self.window.get().0, self.now()));
    }

    fn measured(&self, at: u64) -> bool {
        let (from, to) = self.window.get();
        from <= at && at < to
    }

    pub fn on_send(&self, tag: Tag) {
        bump(&self.total_sent);
        if self.measured(tag.at) {
            bump(&self.sent);
        }
    }

    pub fn on_ack(&self, tag: Tag) {
        let now = self.now();
        bump(&self.total_acked);
        if let Some(log) = &self.acked_log {
            log.borrow_mut().push((tag.sender, tag.seq));
        }
        if self.measured(now) {
            bump(&self.acks_in_window);
        }
        if self.measured(tag.at) {
            bump(&self.acked);
            self.ack.borrow_mut().saturating_record(now.saturating_sub(tag.at) / 1000);
        }
    }

    pub fn on_deliver(&self, tag: Tag) {
        let now = self.now();
        bump(&self.total_delivered);
        if self.measured(now) {
            bump(&self.deliveries_in_window);
        }
        if self.measured(tag.at) {
            bump(&self.delivered);
            self.deliver.borrow_mut().saturating_record(now.saturating_sub(tag.at) / 1000);
        }
    }

    pub fn on_reject(&self) {
        bump(&self.rejected);
    }

    pub fn on_disconnect(&self) {
        bump(&self.disconnected);
    }

    pub fn on_out_of_order(&self) {
        bump(&self.out_of_order);
    }

    /// Lines `<run> <sender> <seq>`, one for each acknowledged message.
    pub fn acked_lines(&self) -> String {
        let log = self.acked_log.as_ref().map(|l| l.borrow().clone()).unwrap_or_default();
        log.iter().map(|(sender, seq)| format!("{} {sender} {seq}\n", self.run)).collect()
    }

    /// `copies`: how many deliveries one message should cause.
    pub fn report(&self, copies: u64, cpu: &CpuUse) -> Map<String, Value> {
        let (from, to) = self.window.get();
        let secs = to.saturating_sub(from) as f64 / 1e9;
        let per_sec = |n: &Cell<u64>| (n.get() as f64 / secs * 10.0).round() / 10.0;
        let expected = self.total_sent.get() * copies;
        let messages = self.acks_in_window.get().max(1) as f64;
        let per_message = |ms: u64| (ms as f64 / messages * 10_000.0).round() / 10_000.0;
        let mut trees = Map::new();
        for (name, ms) in &cpu.trees {
            trees.insert(name.clone(), json!({ "ms": ms, "ms_per_message": per_message(*ms) }));
        }
        let served: u64 = cpu.trees.iter().map(|(_, ms)| ms).sum();
        let report = json!({
            "seconds": (secs * 100.0).round() / 100.0,
            "sent": self.sent.get(),
            "acked": self.acked.get(),
            "delivered": self.delivered.get(),
            "acked_per_s": per_sec(&self.acks_in_window),
            "delivered_per_s": per_sec(&self.deliveries_in_window),
            "ack_ms": percentiles(&self.ack.borrow()),
            "deliver_ms": percentiles(&self.deliver.borrow()),
            "whole_run": {
                "sent": self.total_sent.get(),
                "acked": self.total_acked.get(),
                "delivered": self.total_delivered.get(),
                "expected": expected,
                "lost": expected as i64 - self.total_delivered.get() as i64,
                "rejected": self.rejected.get(),
                "disconnected": self.disconnected.get(),
                "out_of_order": self.out_of_order.get(),
            },
            "cpu": {
                "trees": trees,
                "trees_ms_per_message": per_message(served),
                "generator_ms": cpu.generator,
                "other_ms": cpu.other,
                "stolen_ms": cpu.stolen,
            },
        });
        match report {
            Value::Object(map) => map,
            _ => unreachable!("the macro above makes an object"),
        }
    }
}

fn percentiles(h: &Histogram<u64>) -> Value {
    let ms = |us: u64| us as f64 / 1000.0;
    json!({
        "p50": ms(h.value_at_quantile(0.5)),
        "p99": ms(h.value_at_quantile(0.99)),
        "p999": ms(h.value_at_quantile(0.999)),
        "max": ms(h.max()),
    })
}
