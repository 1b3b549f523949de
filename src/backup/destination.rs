//! Where backups are: a folder, or a bucket of S3-compatible storage. Objects have names, are written whole, and never change.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path as Folder;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};

use crate::config;

/// A place for objects.
#[derive(Clone)]
pub struct Destination {
    store: Arc<dyn ObjectStore>,
    shown: String,
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Whether a folder that is not there is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It must be there.
    Read,
    /// It is made if it is not.
    Write,
}

impl Destination {
    /// The place that `url` names: `s3://bucket/prefix`, reached as `[backup]` says, or a folder.
    ///
    /// # Errors
    /// If it is not such an address, or the folder is not there.
    pub fn open(url: &str, settings: &config::Backup, access: Access) -> anyhow::Result<Self> {
        let store: Arc<dyn ObjectStore> = match url.split_once("://") {
            Some(("s3", place)) => bucket(place, settings)?,
            Some(("file", path)) => folder(path, access)?,
            Some((scheme, _)) => {
                bail!("backups cannot go to `{scheme}://`: allowed are s3://bucket/prefix and a folder")
            }
            None => folder(url, access)?,
        };
        Ok(Self { store, shown: url.to_owned() })
    }

    /// The part of it whose names begin with `prefix/`.
    pub fn under(&self, prefix: &str) -> Self {
        let store = PrefixStore::new(Arc::clone(&self.store), Path::from(prefix));
        Self { store: Arc::new(store), shown: format!("{}/{prefix}", self.shown.trim_end_matches('/')) }
    }

    /// Writes an object, unless there is one of that name: then false.
    ///
    /// # Errors
    /// If the storage does not take it. It may be there all the same.
    pub async fn put_new(&self, name: &str, bytes: Bytes) -> anyhow::Result<bool> {
        let written = self.store.put_opts(&Path::from(name), bytes.clone().into(), PutMode::Create.into()).await;
        match written {
            Ok(_) => Ok(true),
            // An answer can be lost, and the write tried again by the client below: then it is our own.
            Err(object_store::Error::AlreadyExists { .. }) => Ok(self.get(name).await? == bytes),
            Err(error) => Err(error).with_context(|| format!("cannot write {name} to {self}")),
        }
    }

    /// An object.
    ///
    /// # Errors
    /// If it is not there or cannot be read.
    pub async fn get(&self, name: &str) -> anyhow::Result<Bytes> {
        let reading = async { self.store.get(&Path::from(name)).await?.bytes().await };
        reading.await.with_context(|| format!("cannot read {name} from {self}"))
    }

    /// The names that begin with `prefix/`, sorted.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub async fn list(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
        let under = Path::from(prefix);
        let listed = self.store.list(Some(&under)).map_ok(|object| object.location.to_string());
        let mut names: Vec<String> = listed.try_collect().await.with_context(|| format!("cannot list {self}"))?;
        names.sort_unstable();
        Ok(names)
    }

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// If the storage refuses.
    pub async fn delete(&self, name: &str) -> anyhow::Result<()> {
        match self.store.delete(&Path::from(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot remove {name} from {self}")),
        }
    }
}

fn folder(path: &str, access: Access) -> anyhow::Result<Arc<dyn ObjectStore>> {
    ensure!(!path.is_empty(), "the folder of the backups has no name");
    let folder = Folder::new(path);
    if access == Access::Write {
        // What is in there is for its owner only.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| format!("cannot make the folder {path}"))?;
    }
    ensure!(folder.is_dir(), "there is no folder {path}");
    let store = LocalFileSystem::new_with_prefix(folder).with_context(|| format!("cannot open the folder {path}"))?;
    // A manifest must never outlive a power cut that its objects do not.
    Ok(Arc::new(store.with_fsync(true)))
}

fn bucket(place: &str, settings: &config::Backup) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    ensure!(!bucket.is_empty(), "s3:// has no bucket: s3://bucket/prefix is allowed");
    let mut builder = match &settings.s3_access_key {
        Some(key) => {
            AmazonS3Builder::new().with_access_key_id(key).with_secret_access_key(settings.s3_secret_key.expose())
        }
        None => AmazonS3Builder::from_env(),
    };
    builder = builder
        .with_bucket_name(bucket)
        .with_region(&settings.s3_region)
        .with_virtual_hosted_style_request(settings.s3_virtual_hosts);
    if let Some(endpoint) = &settings.s3_endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
    }
    let store = builder.build().with_context(|| format!("cannot use s3://{place}"))?;
    Ok(Arc::new(PrefixStore::new(store, Path::from(prefix))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_object_is_written_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = crate::config::Config::load(None, &[]).expect("defaults").backup;
        let path = folder.path().join("deep/er");
        let path = path.to_str().expect("a path");
        assert!(Destination::open(path, &settings, Access::Read).is_err(), "it is not there");
        let all = Destination::open(&format!("file://{path}"), &settings, Access::Write).expect("opens");
        let part = all.under("part");
        assert!(part.put_new("b/2", Bytes::from_static(b"two")).await.expect("written"));
        assert!(part.put_new("b/2", Bytes::from_static(b"two")).await.expect("the same again is ours"));
        assert!(!part.put_new("b/2", Bytes::from_static(b"too")).await.expect("there is another"));
        assert!(part.put_new("b/10", Bytes::from_static(b"ten")).await.expect("written"));
        assert_eq!(part.list("b").await.expect("lists"), ["b/10", "b/2"]);
        assert_eq!(all.get("part/b/2").await.expect("there"), "two");
        part.delete("b/2").await.expect("removed");
        part.delete("b/2").await.expect("gone already");
        assert_eq!(all.list("part").await.expect("lists"), ["part/b/10"]);
        assert!(all.get("part/b/2").await.is_err());
    }

    #[test]
    fn an_address_is_of_a_kind_that_is_known() {
        let settings = crate::config::Config::load(None, &[]).expect("defaults").backup;
        for url in ["ftp://host/path", "s3://", ""] {
            assert!(Destination::open(url, &settings, Access::Write).is_err(), "{url}");
        }
    }
}
