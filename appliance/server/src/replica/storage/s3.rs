//! A bucket of an S3-compatible service, such as Backblaze B2: requests signed by AWS Signature Version 4.
//!
//! The signature is in a header, never in the address, so that no log shows it.
//! The bucket stands in the path: every compatible service understands that, and no certificate has to fit its name.

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Method, Request, Url};
use sha2::{Digest, Sha256};
use storebox_proto::time::Timestamp;

use super::place::Bucket;
use super::web::{self, accept, ask, body, length, send};
use super::{PlaceError, StorageError};
use crate::env;
use crate::trust::line::Line;

#[derive(Clone)]
pub(super) struct S3 {
    client: Client,
    bucket: Bucket,
    _line: Line,
}

impl S3 {
    pub(super) fn new(line: Line, bucket: Bucket) -> Result<Self, PlaceError> {
        let bucket = Bucket { endpoint: web::root(&line)?, ..bucket };
        Ok(Self { client: web::client(&line)?, bucket, _line: line })
    }

    pub(super) async fn read(
        &self,
        path: &str,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, StorageError> {
        let request = self.signed(Method::GET, path, &Bytes::new());
        body(ask(&self.client, request).await?, bytes_max).await
    }

    pub(super) async fn size(&self, path: &str) -> Result<Option<u64>, StorageError> {
        let request = self.signed(Method::HEAD, path, &Bytes::new());
        length(&ask(&self.client, request).await?)
    }

    /// A bucket shows an object when all of it has arrived.
    pub(super) async fn write(&self, path: &str, bytes: &Bytes) -> Result<(), StorageError> {
        let mut request = self.signed(Method::PUT, path, bytes);
        *request.body_mut() = Some(bytes.clone().into());
        accept(&send(&self.client, request).await?)
    }

    pub(super) async fn remove(&self, path: &str) -> Result<(), StorageError> {
        let request = self.signed(Method::DELETE, path, &Bytes::new());
        let response = send(&self.client, request).await?;
        if response.status().as_u16() == 404 { Ok(()) } else { accept(&response) }
    }

    fn signed(&self, method: Method, path: &str, content: &[u8]) -> Request {
        let Bucket { endpoint, bucket, prefix, .. } = &self.bucket;
        let mut url: Url = endpoint.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            let below = prefix.split('/').chain(path.split('/')).filter(|part| !part.is_empty());
            segments.pop_if_empty().push(bucket).extend(below);
        }
        let mut request = Request::new(method, url);
        sign(&mut request, content, &self.bucket, env::timestamp());
        request
    }
}

/// Adds the headers of a signature over method, path, host, date and content.
fn sign(request: &mut Request, content: &[u8], bucket: &Bucket, now: Timestamp) {
    let (date, moment) = dates(now);
    let digest = hex::encode(Sha256::digest(content));
    let url = request.url();
    let host = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    };
    let headers = format!("host:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{moment}\n");
    let names = "host;x-amz-content-sha256;x-amz-date";
    let (method, path) = (request.method(), url.path());
    let canonical = format!("{method}\n{path}\n\n{headers}\n{names}\n{digest}");
    let scope = format!("{date}/{}/s3/aws4_request", bucket.region);
    let hashed = hex::encode(Sha256::digest(canonical.as_bytes()));
    let text = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashed}");
    let first = format!("AWS4{}", bucket.secret).into_bytes();
    let steps = [date.as_str(), &bucket.region, "s3", "aws4_request", &text];
    let signature = steps.iter().fold(first, |key, step| mac(&key, step.as_bytes()));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}",
        bucket.key_id,
        hex::encode(signature)
    );
    let value = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    let mut secret = value(&authorization);
    secret.set_sensitive(true);
    let headers = request.headers_mut();
    headers.insert("x-amz-content-sha256", value(&digest));
    headers.insert("x-amz-date", value(&moment));
    headers.insert(AUTHORIZATION, secret);
}

/// The day and the moment, as the signature wants them.
fn dates(now: Timestamp) -> (String, String) {
    let text: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    let (date, time) = (text.get(..8).unwrap_or_default(), text.get(9..15).unwrap_or_default());
    (date.to_owned(), format!("{date}T{time}Z"))
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `S3SigV4Auth` of botocore 1.44 for the same request and moment.
    #[test]
    fn the_signature_is_that_of_another_implementation() {
        let bucket = Bucket {
            endpoint: "http://127.0.0.1:9000".parse().unwrap(),
            bucket: "feeds".to_owned(),
            prefix: "shop/".to_owned(),
            region: "eu-central-003".to_owned(),
            key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        };
        let url = "http://127.0.0.1:9000/feeds/shop/v1/heads/catalogue".parse().unwrap();
        let mut request = Request::new(Method::PUT, url);
        sign(&mut request, b"head", &bucket, Timestamp::from_unix_ms(1_795_341_720_000));
        let sent = request.headers()[AUTHORIZATION].to_str().unwrap();
        assert_eq!(sent, SIGNED, "{}", request.headers()["x-amz-date"].to_str().unwrap());
    }

    const SIGNED: &str = "AWS4-HMAC-SHA256 \
        Credential=AKIAIOSFODNN7EXAMPLE/20261122/eu-central-003/s3/aws4_request, \
        SignedHeaders=host;x-amz-content-sha256;x-amz-date, \
        Signature=d74257777f0c4f389985f14ef5d737f4c64dcf3bcc02ed7e195fe5dcb5ec7f80";
}
