//! Postgres is lost and Kafka is not: tenants come from a backup, views from the public streams.

use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::topic_partition_list::Offset;
use sqlx::{Connection, PgConnection};
use tidings::log::{ends, topics};

use crate::folder::Folder;
use crate::support::{POSTGRES_URL, Person, Stack};
use crate::world::{Known, PARTITIONS, World};

/// No role of `stack` runs, and the database is another one from here on.
pub async fn postgres_is_made_anew(stack: &mut Stack, folder: &Folder, known: &Known, world: &World) {
    trim(stack).await;
    let mut connection = PgConnection::connect(stack.postgres_url()).await.expect("connects");
    sqlx::raw_sql("CREATE DATABASE anew").execute(&mut connection).await.expect("made");
    let (server, _) = stack.postgres_url().rsplit_once('/').expect("a database");
    let url = format!("{server}/anew");
    stack.env.push((POSTGRES_URL.into(), url));

    let restore = ["admin", "restore", "--tenants", "--from", folder.path()];
    let said = stack.run(&restore).await;
    assert!(said.contains("2 tenants and 2 API keys are restored"), "{said}");
    let again = stack.fails(&restore).await;
    assert!(again.contains("there are 2 tenants already"), "{again}");
    let said = stack.run(&["admin", "rebuild", "all"]).await;
    assert!(said.contains("all views are made anew"), "{said}");
    assert_eq!(world.rows(stack).await, known.rows);

    let role = stack.role("all").await;
    stack.address = role.address.clone();
    assert_eq!(world.known(stack).await.answers, known.answers);
    let (mut ada, _) = Person::online(&stack.address, &world.people[0], None).await;
    ada.say_until_heard(&world.group, "it goes on").await;
    let said = stack.run(&["admin", "rebuild", "all"]).await;
    assert_eq!(said.lines().count(), tidings::projector::catalog::all().len(), "{said}");
}

/// As after seven quiet days: what is in the public streams and in the views is in no journal any more.
async fn trim(stack: &Stack) {
    let client = stack.kafka();
    let admin: AdminClient<DefaultClientContext> = client.create().expect("a client");
    let mut list = TopicPartitionList::new();
    for journal in topics::JOURNALS {
        for partition in 0..PARTITIONS {
            let end = ends(&client, journal, partition).await.expect("an end").high;
            list.add_partition_offset(journal, partition, Offset::Offset(end)).expect("listed");
        }
    }
    let trimmed = admin.delete_records(&list, &AdminOptions::new()).await.expect("trimmed");
    assert!(trimmed.elements().iter().all(|element| element.error().is_ok()));
}
