//! Where newcomers find this box: the addresses that stand on a slip.

use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use storebox_proto::limits::SLIP_ADDRESSES_MAX;

/// The addresses behind these listeners; one that listens everywhere is found at each address of the machine.
///
/// A hint that nobody has to believe, so an interface that cannot be read is simply not named.
pub fn places(listen: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut places = Vec::new();
    for address in listen.iter().filter(|address| address.port() != 0) {
        match address.ip().is_unspecified() {
            true => places.extend(own().into_iter().map(|ip| SocketAddr::new(ip, address.port()))),
            false if address.ip().is_loopback() => {}
            false => places.push(*address),
        }
    }
    places.dedup();
    places.truncate(SLIP_ADDRESSES_MAX);
    places
}

/// The addresses of this machine that others on the LAN can use; IPv4 first, because slips have little room.
fn own() -> Vec<IpAddr> {
    let Ok(interfaces) = getifaddrs() else { return Vec::new() };
    let up = interfaces.filter(|interface| {
        interface.flags.contains(InterfaceFlags::IFF_UP)
            && !interface.flags.contains(InterfaceFlags::IFF_LOOPBACK)
    });
    let mut found: Vec<IpAddr> = up
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .filter(|ip| match ip {
            IpAddr::V4(v4) => !v4.is_link_local(),
            // Without its scope, which differs on every machine, a link-local address leads nowhere.
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_names_where_the_box_can_be_reached_and_nothing_else() {
        let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
        let listen = [parse("10.77.0.10:8443"), parse("127.0.0.1:8443"), parse("10.77.0.11:0")];
        assert_eq!(places(&listen), [parse("10.77.0.10:8443")]);
        let everywhere = places(&[parse("0.0.0.0:8443")]);
        assert!(everywhere.len() <= SLIP_ADDRESSES_MAX);
        assert!(everywhere.iter().all(|place| !place.ip().is_loopback() && place.port() == 8443));
    }
}
