//! Real handshakes: who believes whom.

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::trust::client::{Credentials, Way};
use crate::trust::customer::Customer;
use crate::trust::tls::{Presented, Secured, Tls};
use storebox_proto::trust::proof::EXPORTER_LABEL;

/// Shakes hands; what both sides know then, or why the client walked away.
async fn shake(
    house: &House,
    way: &Way,
    credentials: Option<Credentials>,
) -> Result<(Secured, [u8; 32]), std::io::Error> {
    let tls = Tls::new(house, None).unwrap();
    let (near, far) = duplex(64 * 1024);
    let acceptor = TlsAcceptor::from(tls.config());
    let connector = TlsConnector::from(Arc::new(way.config(credentials).unwrap()));
    let server = async {
        let mut stream = acceptor.accept(far).await?;
        let secured = tls.secured(stream.get_ref().1).unwrap();
        stream.write_all(b"!").await?;
        Ok::<_, std::io::Error>(secured)
    };
    let client = async {
        let mut stream = connector.connect(way.server_name(), near).await?;
        let exported = stream.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None);
        stream.read_exact(&mut [0]).await?;
        Ok::<_, std::io::Error>(exported.unwrap())
    };
    let (server, client) = tokio::join!(server, client);
    let client = client?;
    Ok((server?, client))
}

fn root_of(house: &House) -> Way {
    Way::by_root(house.root.clone(), house.member.site.clone())
}

#[tokio::test]
async fn a_till_and_its_box_know_each_other_and_the_channel() {
    let estate = Estate::new();
    let house = estate.new_box("0007", "box-1");
    let (key, chain) = till(&house, "till-3");
    let credentials = (chain, paper::private_der(&key));
    let (secured, channel) = shake(&house, &root_of(&house), Some(credentials)).await.unwrap();
    assert_eq!(secured.channel, channel);
    let Presented::Member(known) = secured.presented else { panic!("{secured:?}") };
    assert_eq!(known.member.name.as_str(), "till-3");
    let (nobody, _) = shake(&house, &root_of(&house), None).await.unwrap();
    assert_eq!(nobody.presented, Presented::Nothing);
}

#[tokio::test]
async fn a_box_of_another_site_or_chain_is_refused_by_the_till() {
    let (estate, others) = (Estate::new(), Estate::new());
    let house = estate.new_box("0007", "box-1");
    let foreign = estate.new_box("0008", "box-8");
    let fake = others.new_box("0007", "box-1");
    assert!(shake(&foreign, &root_of(&house), None).await.is_err());
    assert!(shake(&fake, &root_of(&house), None).await.is_err());
    let replaced = estate.new_box("0007", "box-2");
    assert!(shake(&replaced, &root_of(&house), None).await.is_ok());
}

#[tokio::test]
async fn a_slip_leads_to_its_own_site_only() {
    let (estate, others) = (Estate::new(), Estate::new());
    let house = estate.new_box("0007", "box-1");
    let way = Way::by_slip(house.authority(), site("0007"));
    assert!(shake(&house, &way, None).await.is_ok());
    let fake = others.new_box("0007", "box-1");
    assert!(shake(&fake, &way, None).await.is_err());
}

#[tokio::test]
async fn a_certificate_of_another_chain_is_taken_by_tls_and_refused_by_the_judge() {
    let (estate, others) = (Estate::new(), Estate::new());
    let house = estate.new_box("0007", "box-1");
    let (key, chain) = till(&others.new_box("0007", "box-1"), "till-3");
    let credentials = (chain, paper::private_der(&key));
    let (secured, _) = shake(&house, &root_of(&house), Some(credentials)).await.unwrap();
    assert!(matches!(secured.presented, Presented::Bad(_)));
}

#[tokio::test]
async fn a_stolen_certificate_is_worth_nothing_without_its_key() {
    let estate = Estate::new();
    let house = estate.new_box("0007", "box-1");
    let (_, chain) = till(&house, "till-3");
    let other = KeyPair::generate().unwrap();
    let config = root_of(&house).config(Some((chain, paper::private_der(&other))));
    assert!(config.is_err(), "not even this side's TLS goes along with it");
}

#[test]
fn the_customers_certificate_is_taken_when_it_comes_and_only_for_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let paths = [dir.path().join("chain.pem"), dir.path().join("key.pem")];
    let [certificate, key_path] = paths.clone();
    let customer = Customer::new("a1.pos.example".to_owned(), Some((certificate, key_path)));
    assert!(customer.refresh().is_err(), "not there yet");
    let write = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        std::fs::write(&paths[0], params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&paths[1], key.serialize_pem()).unwrap();
    };
    write("bank.example");
    assert!(customer.refresh().is_err());
    assert!(customer.key_for("a1.pos.example").is_none());
    write("a1.pos.example");
    assert!(customer.refresh().unwrap());
    assert!(customer.key_for("A1.pos.example").is_some());
    assert!(customer.key_for("bank.example").is_none());
}
