//! Two processes of each role with a network between them and everything else, and who starts again what ended.
//!
//! With one node of Kafka there is a proxy on every way. With three, which send clients from one to another, there is none to Kafka.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tidings::dev::{DevError, KafkaListener, Standby};

use crate::proxy::Proxy;
use crate::support::{POSTGRES_URL, Role, Stack};

/// In the order in which they are started.
pub const ROLES: [&str; 6] = ["sequencer", "projector", "publisher", "gateway", "indexer", "scheduler"];
const GATEWAY: usize = 3;
const OF_EACH: usize = 2;
/// Longer than it takes to declare a frozen process dead, by its group or by its claim.
pub const DEAD_AFTER: Duration = Duration::from_millis(3_000);

const SETTINGS: [(&str, &str); 9] = [
    ("TIDINGS_KAFKA__SESSION_TIMEOUT_MS", "2000"),
    ("TIDINGS_SESSIONS__RENEW_MS", "400"),
    ("TIDINGS_SESSIONS__OVERDUE_MS", "2000"),
    ("TIDINGS_GATEWAY__COMMAND_TIMEOUT_MS", "2000"),
    ("TIDINGS_GATEWAY__DRAIN_MS", "300"),
    ("TIDINGS_GATEWAY__DRAIN_NOTICE_MS", "100"),
    ("TIDINGS_GATEWAY__PING_INTERVAL_MS", "2000"),
    ("TIDINGS_POSTGRES__STATEMENT_TIMEOUT_MS", "2000"),
    ("TIDINGS_POSTGRES__MAX_CONNECTIONS", "6"),
];

/// Compaction all the while: segments end soon, and whatever is dirty is cleaned.
const BROKER: [&str; 4] = [
    "log.roll.ms=5000",
    "log.cleaner.min.cleanable.ratio=0.01",
    "log.cleaner.max.compaction.lag.ms=5000",
    "log.cleaner.threads=1",
];

/// A process of a role, and the ways to it and from it.
pub struct Process {
    pub role: Role,
    /// Leads nowhere where Kafka has several nodes.
    pub kafka: Proxy,
    pub postgres: Proxy,
    /// Of a gateway.
    pub clients: Proxy,
    /// Nobody is to start it again now.
    pub down: bool,
}

pub struct World {
    pub stack: Stack,
    pub processes: Vec<Process>,
    /// Who took over from the first Postgres.
    primary: Option<Standby>,
    /// For commands of the command line, and for the checker.
    admin: Proxy,
    /// What ended without having been asked to, and was started again.
    pub exits: Vec<String>,
    pub logs: PathBuf,
}

impl World {
    pub async fn start(nodes: usize) -> Self {
        let logs =
            std::env::var_os("TIDINGS_CHECK_LOGS").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
        let logs = logs.join(format!("checker-{nodes}"));
        let _ = std::fs::remove_dir_all(&logs);
        std::fs::create_dir_all(&logs).expect("a directory");
        let mut ways = Vec::new();
        for _ in 0..ROLES.len() * OF_EACH {
            ways.push((Proxy::listen().await, Proxy::listen().await, Proxy::listen().await));
        }
        let ports: Vec<_> = ways.iter().map(|_| crate::support::roles::free_port()).collect();
        let listeners = ways.iter().zip(&ports).enumerate().map(|(n, ((kafka, ..), port))| KafkaListener {
            name: format!("WAY{n}"),
            protocol: "PLAINTEXT".into(),
            port: *port,
            advertised_port: Some(kafka.address.port()),
            properties: if n == 0 { BROKER.map(str::to_owned).to_vec() } else { Vec::new() },
        });
        let listeners = listeners.filter(|_| nodes == 1).collect();
        let mut stack = Stack::start_with(|options| {
            options.kafka_nodes = nodes;
            options.kafka_listeners = listeners;
        })
        .await;
        let url: url::Parts = url::Parts::of(stack.parts.postgres_url());
        let admin = Proxy::listen().await;
        admin.lead_to(url.address);
        stack.env.push((POSTGRES_URL.to_owned(), url.with(admin.address)));
        stack.env.extend(SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let mut processes = Vec::new();
        for (n, ((kafka, postgres, clients), port)) in ways.into_iter().zip(ports).enumerate() {
            if nodes == 1 {
                kafka.lead_to(([127, 0, 0, 1], port).into());
            }
            postgres.lead_to(url.address);
            let mut env = stack.env.clone();
            // A node that is lost is missed for longer than a gateway should be.
            if nodes > 1 {
                env.push(("TIDINGS_SESSIONS__OVERDUE_MS".into(), "6000".into()));
                env.push(("TIDINGS_KAFKA__SESSION_TIMEOUT_MS".into(), "6000".into()));
            }
            if nodes == 1 {
                env.push(("TIDINGS_KAFKA__BROKERS".into(), kafka.address.to_string()));
            }
            env.push((POSTGRES_URL.into(), url.with(postgres.address)));
            let name = ROLES[n / OF_EACH];
            let role = Role::start_logged(name, &env, &logs.join(format!("{name}-{}.log", n % OF_EACH))).await;
            clients.lead_to(role.address.parse().expect("an address"));
            processes.push(Process { role, kafka, postgres, clients, down: false });
        }
        stack.address = processes[Self::of(GATEWAY)[1]].role.address.clone();
        Self { stack, processes, primary: None, admin, exits: Vec::new(), logs }
    }

    pub async fn kill_postgres(&self) {
        match &self.primary {
            Some(primary) => primary.kill().await,
            None => self.stack.parts.kill_postgres().await,
        }
    }

    pub async fn start_postgres(&self) -> Result<(), DevError> {
        match &self.primary {
            Some(primary) => primary.start().await,
            None => self.stack.parts.start_postgres().await,
        }
    }

    /// `kill -9` of the primary while another follows it; that one is who takes over.
    pub async fn lose_primary(&mut self) {
        let (following, url) = match &self.primary {
            Some(primary) => (primary.start_standby().await, primary.postgres_url()),
            None => (self.stack.parts.start_standby().await, self.stack.parts.postgres_url()),
        };
        let mut connection = PgConnection::connect(url).await.expect("connects");
        let streaming = "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')";
        while !sqlx::query_scalar::<_, bool>(streaming).fetch_one(&mut connection).await.expect("tells") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.kill_postgres().await;
        self.primary = Some(following.expect("follows"));
    }

    /// Promotes who followed, and leads everybody there, as a name or an address would that moves with the primary.
    pub async fn promote(&mut self) {
        let primary = self.primary.as_ref().expect("there is one");
        primary.promote().await.expect("promoted");
        let address = url::Parts::of(primary.postgres_url()).address;
        for proxy in self.processes.iter().map(|process| &process.postgres).chain([&self.admin]) {
            proxy.lead_to(address);
            proxy.reset();
        }
    }

    /// The two of a role.
    pub fn of(role: usize) -> [usize; OF_EACH] {
        [role * OF_EACH, role * OF_EACH + 1]
    }

    /// Where clients go.
    pub fn gateways(&self) -> Vec<String> {
        Self::of(GATEWAY).iter().map(|n| self.processes[*n].clients.address.to_string()).collect()
    }

    pub fn name(&self, process: usize) -> String {
        format!("{} {}", self.processes[process].role.name, process % OF_EACH)
    }

    /// Starts again what has ended by itself, as whoever runs this would.
    pub fn tend(&mut self) {
        for n in 0..self.processes.len() {
            let name = self.name(n);
            let process = &mut self.processes[n];
            if !process.down
                && let Some(status) = process.role.ended()
            {
                self.exits.push(format!("{name} ended by itself: {status}"));
                process.role.revive();
            }
        }
    }
}

mod url {
    use std::net::SocketAddr;

    /// The database's address, to be led over a proxy.
    pub struct Parts {
        text: String,
        host: String,
        pub address: SocketAddr,
    }

    impl Parts {
        pub fn of(text: &str) -> Self {
            let rest = text.rsplit_once('@').expect("user and host").1;
            let host = rest.split_once('/').expect("a database").0.to_owned();
            let address = host.replace("localhost", "127.0.0.1").parse().expect("an address");
            Self { text: text.to_owned(), host, address }
        }

        pub fn with(&self, address: SocketAddr) -> String {
            self.text.replace(&format!("@{}/", self.host), &format!("@{address}/"))
        }
    }
}
