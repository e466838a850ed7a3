//! Every documented route, tried over TLS by those who have no right to it.

use storebox_proto::problem::Problem;
use storebox_proto::trust::Kind;

use super::trust::enrolled;
use super::*;
use crate::trust::call::Connection;
use crate::trust::client::Way;

#[tokio::test]
async fn no_route_is_reached_over_tls_without_a_right_to_it() {
    let running = start("store").await;
    let other = start("store").await;
    let till = enrolled(&running, Kind::Terminal, "till-1").await;
    let peer = enrolled(&running, Kind::Peer, "peer-1").await;
    // The same site and name under another head office: as foreign as can be.
    let foreign = enrolled(&other, Kind::Terminal, "till-1").await;
    let way = running.built.trust.house().unwrap().way_to("0007".parse().unwrap()).0;
    let mut walked = 0;
    for (method, path, sent) in operations(&running.built.document) {
        let door = door(&sent);
        let mut nobody =
            Connection::open(running.secure, &Way::proven_later(), None).await.unwrap();
        let mut as_till = till.connect(running.secure).await.unwrap();
        let mut as_peer = peer.connect(running.secure).await.unwrap();
        let credentials = foreign.way().unwrap().1;
        let mut stranger = Connection::open(running.secure, &way, Some(credentials)).await.unwrap();
        for (who, connection, may) in [
            ("nobody", &mut nobody, [Door::Open, Door::Watcher].contains(&door)),
            ("a till", &mut as_till, [Door::Open, Door::Terminal, Door::Shop].contains(&door)),
            ("a peer", &mut as_peer, door == Door::Open || is_read_by_peers(&method, &path)),
            ("a foreign till", &mut stranger, door == Door::Open),
        ] {
            let json = [("content-type", "application/json")];
            let answer = connection.send(method.clone(), &sent, &json, "not json").await.unwrap();
            let refused = serde_json::from_slice::<Problem>(&answer.body).ok();
            let is_shut = refused.is_some_and(|problem| {
                use storebox_proto::problem::Code;
                let is_renewal = path == "/enrol/v1/renewal";
                !is_renewal
                    && [
                        Code::Unauthenticated,
                        Code::Forbidden,
                        Code::CertificateInvalid,
                        Code::ForeignSite,
                        Code::Revoked,
                    ]
                    .contains(&problem.code)
            });
            assert_eq!(!is_shut, may, "{who} at {method} {path}: {}", answer.status);
        }
        walked += 1;
    }
    assert!(walked > 50, "{walked}");
    running.supervisor.stop(STOP_MAX).await;
    other.supervisor.stop(STOP_MAX).await;
}

fn is_read_by_peers(method: &Method, path: &str) -> bool {
    let reads = path.starts_with("/sync/v1/feeds") || path.starts_with("/sync/v1/objects");
    *method == Method::GET && reads
}
