//! A backup of a living installation brings all of it back in another one: to a folder, and to S3-compatible storage.

#[path = "../support/mod.rs"]
mod support;

mod cut;
mod folder;
mod lost;
mod s3;
mod world;

use support::Stack;
use world::World;

/// One story, as each part of it needs what was before; the installations are what takes time.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_brings_everything_back() {
    let mut source = Stack::start().await;
    let role = source.role("all").await;
    source.address = role.address.clone();
    let mut world = World::begin(&source).await;
    let folder = folder::back_up(&source, &mut world).await;
    let storage = s3::Storage::start().await;
    storage.back_up(&source, &mut world).await;
    let known = world.known(&source).await;
    // Gone for good.
    drop(role);
    folder::restore(&source, &folder, &world).await;
    storage.restore(&source, &known, &world).await;
    lost::postgres_is_made_anew(&mut source, &folder, &known, &world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_checkpoints_cover_is_in_a_backup() {
    cut::story(&Stack::start().await).await;
}
