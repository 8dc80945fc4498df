//! Where CloudFormation and Lambda find the code.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::{Aws, errors, trouble_of};
use crate::trouble::Trouble;

/// What an object is called: the SHA-256 of its content, so that the same content is stored once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub String);

/// A bucket of the user's account. Every call names the account, so that a bucket of the same name in somebody else's
/// account is refused by S3 itself.
pub struct Bucket {
    client: Client,
    /// Its name.
    pub name: String,
    account: String,
}

impl Bucket {
    /// A bucket that exists.
    pub fn new(aws: &Aws, name: String) -> Self {
        let config = aws_sdk_s3::config::Builder::from(&aws.sdk)
            // An emulator has no name server of its own.
            .force_path_style(aws.is_emulated())
            .build();
        Self { client: Client::from_conf(config), name, account: aws.account.clone() }
    }

    /// The address by which CloudFormation reads an object.
    pub fn address_of(&self, aws: &Aws, key: &Key) -> String {
        format!("https://s3.{}.{}/{}/{}", aws.region, aws.domain(), self.name, key.0)
    }

    /// The keys of all objects.
    pub async fn list(&self) -> Result<Vec<Key>, Trouble> {
        let mut pages = self
            .client
            .list_objects_v2()
            .bucket(&self.name)
            .expected_bucket_owner(&self.account)
            .into_paginator()
            .send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.trouble("s3:ListBucket", &error))?;
            keys.extend(page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key).map(Key));
        }
        Ok(keys)
    }

    /// Stores an object.
    pub async fn put(&self, key: &Key, content: Vec<u8>) -> Result<(), Trouble> {
        self.client
            .put_object()
            .bucket(&self.name)
            .expected_bucket_owner(&self.account)
            .key(&key.0)
            .body(ByteStream::from(content))
            .send()
            .await
            .map_err(|error| self.trouble("s3:PutObject", &error))?;
        Ok(())
    }

    /// Deletes objects.
    pub async fn remove(&self, keys: &[Key]) -> Result<(), Trouble> {
        // S3 takes 1,000 keys a call. Source: the API reference of DeleteObjects.
        for some in keys.chunks(1000) {
            let objects = some.iter().filter_map(|key| ObjectIdentifier::builder().key(&key.0).build().ok()).collect();
            let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build();
            let delete = delete.map_err(|error| Trouble::bug(&error))?;
            let answer = self
                .client
                .delete_objects()
                .bucket(&self.name)
                .expected_bucket_owner(&self.account)
                .delete(delete)
                .send()
                .await
                .map_err(|error| self.trouble("s3:DeleteObject", &error))?;
            if let Some(first) = answer.errors().first() {
                let words = first.message().unwrap_or_default();
                return Err(Trouble::failed(
                    format!("{}: {words}", self.what("s3:DeleteObject")),
                    "remove whatever protects the bucket's objects, then run the command again",
                ));
            }
        }
        Ok(())
    }

    /// S3 refuses a bucket of somebody else's with the same words as a call that is not permitted.
    fn trouble<E: ProvideErrorMetadata>(&self, call: &str, error: &SdkError<E>) -> Trouble {
        let trouble = trouble_of(&self.what(call), error);
        if !errors::is_denied(error) {
            return trouble;
        }
        let remedy = format!("{}; and see that the bucket is the account's own", trouble.remedy);
        Trouble { remedy, ..trouble }
    }

    fn what(&self, call: &str) -> String {
        format!("bucket {} ({call})", self.name)
    }
}
