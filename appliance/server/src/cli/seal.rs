//! `storebox seal`: rings of sealing keys, through the running box.

use std::io::Read;
use std::path::Path;

use storebox_proto::ids::SiteId;
use storebox_proto::seal::Scope;
use zeroize::Zeroizing;

use super::client::Control;
use super::{CommandError, say};
use crate::args::Seal;
use crate::http::seals::{Begin, Certificate};
use crate::seal::RingListed;
use crate::trust::customer::{MODEL, Sent};

/// A ring or a chain of certificates is far shorter.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Runs one of the commands.
pub(super) async fn run(data_dir: &Path, what: Seal) -> Result<(), CommandError> {
    let control = Control::open(data_dir)?;
    match what {
        Seal::New { site, scope } => {
            let begin = Begin { site, scope: scope.into() };
            say(&table(&control.post::<Vec<RingListed>>("/v1/seals", &begin).await?));
        }
        Seal::List => say(&table(&control.get::<Vec<RingListed>>("/v1/seals").await?)),
        Seal::Show { site, scope } => {
            let ring: serde_json::Value = control.get(&path(&site, scope.into())).await?;
            say(&ring.to_string());
        }
        Seal::Add { file } => {
            let fail = |source| CommandError::File { path: file.clone(), source };
            let text = read(&file).map_err(fail)?;
            let ring: serde_json::Value = serde_json::from_str(&text)
                .map_err(|source| CommandError::Payload { path: file.clone(), source })?;
            control.put("/v1/seals", &ring).await?;
        }
        Seal::Certificate { site, domain, certificate, key, out } => {
            let text = |path: &Path| {
                let fail = |source| CommandError::File { path: path.to_owned(), source };
                read(path).map(|text| text.to_string()).map_err(fail)
            };
            let sent = Sent { certificate: text(&certificate)?, key: text(&key)? };
            let path = format!("/v1/seals/{site}/certificate");
            let record: serde_json::Value =
                control.post(&path, &Certificate { domain, sent }).await?;
            let change = serde_json::json!({ "model": MODEL, "record": record });
            let fail = |source| CommandError::File { path: out.clone(), source };
            std::fs::write(&out, format!("{change}\n")).map_err(fail)?;
            say(&format!("wrote {}; import it with --changes", out.display()));
        }
        Seal::Remove { site, scope } => control.delete(&path(&site, scope.into())).await?,
    }
    Ok(())
}

fn path(site: &SiteId, scope: Scope) -> String {
    format!("/v1/seals/{site}/{scope}")
}

fn read(file: &Path) -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    match file == Path::new("-") {
        true => std::io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text)?,
        false => std::fs::File::open(file)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?,
    };
    Ok(text)
}

fn table(listed: &[RingListed]) -> String {
    let mut text =
        format!("{:<32}  {:<6}  {:>10}  {:<8}  until", "site", "scope", "generation", "tag");
    for ring in listed {
        let until = ring.until.map_or_else(|| "replaced".to_owned(), |until| until.to_string());
        let (site, scope, generation) = (ring.site.as_str(), ring.scope.as_str(), ring.generation);
        text.push_str(&format!(
            "\n{site:<32}  {scope:<6}  {generation:>10}  {:<8}  {until}",
            ring.tag
        ));
    }
    text
}
