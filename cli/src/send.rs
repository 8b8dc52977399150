//! `frontdesk send`: signs sample bodies now, as Retell or Cal.com would, and sends them to an ingress.
//!
//! Own signing, on purpose: it does not share code with the verification in ingress, so each checks the other.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::Sha256;
use shared::store::accounts::Provider;
use uuid::Uuid;

use crate::account::ProviderName;
use crate::error::http_chain;
use crate::secret_input::SecretInput;
use crate::{CliError, Outcome, Session};

/// Ingress takes 8 MiB from Retell; a little more, so that its 413 can be seen.
const BODY_BYTES_MAX: u64 = 9 * 1024 * 1024;
/// A function's answer takes up to 6 s.
const TIMEOUT: Duration = Duration::from_secs(15);
/// What is shown of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Sign sample bodies now, as the provider does, and send them; shows status, answer and latency.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  frontdesk send --url http://127.0.0.1:8080 --provider retell --endpoint 0193…-… --key-env RETELL_KEY tests/fixtures/retell/call_started.json\n  \
                  frontdesk send --url http://127.0.0.1:8080 --provider calcom --endpoint 0193…-… --secret-stdin *.json < secret"
)]
pub struct Send {
    /// Address of ingress, without the path.
    #[arg(long)]
    url: String,
    #[arg(long, value_enum)]
    provider: ProviderName,
    /// Id of the endpoint.
    #[arg(long)]
    endpoint: Uuid,
    #[command(flatten)]
    secret: SecretInput,
    /// Name of the environment variable that holds the secret.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["secret_file", "secret_stdin"], required_unless_present_any = ["secret_file", "secret_stdin"])]
    key_env: Option<String>,
    /// Bodies to send, one request each, in this order.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What came back for one file.
#[derive(Serialize)]
struct Sent {
    file: String,
    /// `None`: no answer came.
    status: Option<u16>,
    answer: String,
    took_ms: u64,
}

impl Send {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let secret = match &self.key_env {
            Some(name) => {
                let value = session.environment.get(name);
                value.map(SecretString::from).ok_or_else(|| CliError::Usage(format!("the variable {name} is not set")))?
            }
            None => self.secret.read(session)?.ok_or_else(|| CliError::Usage("no secret was given".to_owned()))?,
        };
        let provider = Provider::from(self.provider);
        let url = format!("{}/v1/{provider}/{}", self.url.trim_end_matches('/'), self.endpoint);
        let client = client(TIMEOUT)?;
        let mut sent = Vec::new();
        for file in &self.files {
            let body = read(file)?;
            let headers = match provider {
                Provider::Retell => vec![("x-retell-signature", sign_retell(&secret, &body, session.clock.now().timestamp_millis()))],
                Provider::Calcom => vec![("x-cal-signature-256", sign_calcom(&secret, &body)), ("x-cal-webhook-version", "2021-10-20".to_owned())],
            };
            sent.push(send(&client, &url, file, body, headers).await);
        }
        let good = sent.iter().all(|one| one.status.is_some_and(|status| (200..300).contains(&status)));
        session.answer(&sent, |sent| sent.iter().map(told).collect::<Vec<_>>().join("\n"))?;
        Ok(Outcome::of(good))
    }
}

/// One attempt, no redirects, no proxy: what is shown is what this very server answered.
pub fn client(timeout: Duration) -> Result<reqwest::Client, CliError> {
    let builder = reqwest::Client::builder().timeout(timeout).redirect(reqwest::redirect::Policy::none()).retry(reqwest::retry::never()).no_proxy();
    builder.build().map_err(CliError::Http)
}

fn told(sent: &Sent) -> String {
    let status = sent.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    format!("{}: {status} in {} ms {}", sent.file, sent.took_ms, sent.answer).trim_end().to_owned()
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let what = path.display().to_string();
    let mut body = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BODY_BYTES_MAX + 1).read_to_end(&mut body));
    read.map_err(|source| CliError::Read { what: what.clone(), source })?;
    if body.len() as u64 > BODY_BYTES_MAX { Err(CliError::Usage(format!("{what} is larger than {BODY_BYTES_MAX} bytes"))) } else { Ok(body) }
}

async fn send(client: &reqwest::Client, url: &str, file: &Path, body: Vec<u8>, headers: Vec<(&str, String)>) -> Sent {
    let started = Instant::now();
    let mut request = client.post(url).header("content-type", "application/json").body(body);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let (status, answer) = match request.send().await {
        Ok(response) => {
            let status = response.status().as_u16();
            (Some(status), shown(response).await)
        }
        Err(error) => (None, http_chain(error)),
    };
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Sent { file: file.display().to_string(), status, answer, took_ms }
}

async fn shown(mut response: reqwest::Response) -> String {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() < ANSWER_BYTES_MAX => bytes.extend_from_slice(&chunk),
            Ok(Some(_)) => return format!("{}… (cut)", String::from_utf8_lossy(&bytes)),
            Ok(None) => return String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => return format!("the answer broke off ({})", http_chain(error)),
        }
    }
}

fn mac(key: &SecretString) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).expect("HMAC takes a key of any length")
}

/// `v=<ms>,d=<hex of HMAC-SHA256(key, body || ms)>`.
fn sign_retell(key: &SecretString, body: &[u8], now_ms: i64) -> String {
    let digest = mac(key).chain_update(body).chain_update(now_ms.to_string().as_bytes()).finalize().into_bytes();
    format!("v={now_ms},d={}", hex::encode(digest))
}

/// Hex of HMAC-SHA256(secret, body).
fn sign_calcom(secret: &SecretString, body: &[u8]) -> String {
    hex::encode(mac(secret).chain_update(body).finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_equal_the_fixtures() {
        let body = include_bytes!("../../tests/fixtures/retell/call_started.json");
        let key = SecretString::from("key_0123456789abcdef0123456789ab");
        let expected = "v=1760716836158,d=e180fba28410ff0d2901c8ac3c4b94e7cb478f7126e57d9b0aa87c62f2ee2835";
        assert_eq!(sign_retell(&key, body, 1_760_716_836_158), expected);

        let body = include_bytes!("../../tests/fixtures/calcom/02-booking-created-ui.json");
        let expected = "a04d91036157cde6531fbcb5f46dfd76c06227a3db3893a4c0d6732ecce37c9d";
        assert_eq!(sign_calcom(&SecretString::from("whsec_test_0123456789"), body), expected);
    }
}
