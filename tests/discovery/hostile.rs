//! Somebody on the LAN who means harm: a flood of forged boxes, and packets that make no sense.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use serde_json::json;

use crate::host::say;
use crate::lan::lan;
use crate::proc::{now, tell};

const SOON: Duration = Duration::from_secs(30);
/// While thousands of forged packets are read, on a loaded machine: an announcement that is lost in them is asked for again
/// after a pause that doubles.
const LATE: Duration = Duration::from_secs(60);
const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(224, 0, 0, 251), 5353);
const TYPE: &str = "_storebox._tcp.local";
const POINTER: u16 = 12;
const SERVICE: u16 = 33;
const TEXT: u16 = 16;
const ADDRESS: u16 = 1;

fn name(packet: &mut Vec<u8>, name: &str) {
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).expect("short labels"));
        packet.extend_from_slice(label.as_bytes());
    }
    packet.push(0);
}

/// An answer that announces one forged box with all four records.
fn forged(number: u32) -> Vec<u8> {
    let instance = format!("storebox-f{number:05x}.{TYPE}");
    let host = format!("storebox-f{number:05x}.local");
    let mut target = Vec::new();
    name(&mut target, &instance);
    let mut service = vec![0, 0, 0, 0, 0x20, 0xfb];
    name(&mut service, &host);
    let records = [
        (TYPE, POINTER, target),
        (instance.as_str(), SERVICE, service),
        (instance.as_str(), TEXT, b"\x09txtvers=1\x06site=s".to_vec()),
        (host.as_str(), ADDRESS, vec![10, 77, 1, 1]),
    ];
    let mut packet = vec![0, 0, 0x84, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    for (owner, kind, data) in records {
        name(&mut packet, owner);
        packet.extend_from_slice(&kind.to_be_bytes());
        packet.extend_from_slice(&[0, 1, 0, 0, 0, 120]);
        packet.extend_from_slice(&u16::try_from(data.len()).expect("short data").to_be_bytes());
        packet.extend_from_slice(&data);
    }
    packet
}

/// Bound to an address, a packet to the group leaves on the link of that address.
fn socket(address: &str) -> UdpSocket {
    UdpSocket::bind((address, 5353)).expect("a free port in a free network")
}

/// The part of a host that announces so many forged boxes.
pub(crate) fn flood(address: &str, packets: u32) {
    let socket = socket(address);
    for number in 0..packets {
        socket.send_to(&forged(number), GROUP).expect("a link that is up");
        std::thread::yield_now();
    }
    say("done");
}

/// The part of a host that sends so many damaged packets, the same ones every time.
pub(crate) fn noise(address: &str, packets: u32) {
    let socket = socket(address);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("below a usize")
    };
    for number in 0..packets {
        let mut packet = forged(number % 16);
        for _ in 0..=next(6) {
            let at = next(packet.len());
            packet[at] = u8::try_from(next(256)).expect("below 256");
        }
        packet[2] = if next(2) == 0 { 0x84 } else { 0 };
        packet.truncate(packet.len() - next(packet.len()) * usize::from(next(4) == 0));
        socket.send_to(&packet, GROUP).expect("a link that is up");
    }
    say("done");
}

#[test]
fn a_flood_of_forged_boxes_is_thrown_away_and_a_real_box_is_found_all_the_same() {
    let Some(lan) = lan(&["box1", "till", "rogue"]) else { return };
    let mut browser = lan.play("till", "browser", &json!({}));
    browser.wait(SOON, |line| line == "@browsing");
    // Many more than are needed, because a machine that is busy drops most of them before anybody reads them.
    let settings = json!({ "address": lan.address("rogue"), "packets": 16_000 });
    lan.play("rogue", "flood", &settings).wait(SOON, |line| line == "@done");
    let mut announcing = lan.play("box1", "box", &json!({}));
    let (from, _) = announcing.wait(SOON, |line| line == "@announcing");
    let (at, _) = browser.wait(LATE, |line| line.starts_with("@seen storebox-a1b2c3|"));
    let time = at.saturating_duration_since(from);
    tell(&format!("found during a flood: {} ms", time.as_millis()));
    let flooded = now();
    let (renewed, _) = browser.wait(LATE, |line| line == "@flooded 1");
    tell(&format!("flood thrown away: {} ms", (renewed - flooded).as_millis()));
    browser.wait(SOON, |line| line.starts_with("@seen storebox-a1b2c3|"));
}

#[test]
fn packets_that_make_no_sense_stop_nobody() {
    let Some(lan) = lan(&["box1", "till", "rogue"]) else { return };
    let mut browser = lan.play("till", "browser", &json!({}));
    browser.wait(SOON, |line| line == "@browsing");
    let mut announcing = lan.play("box1", "box", &json!({}));
    browser.wait(SOON, |line| line.starts_with("@seen storebox-a1b2c3|"));
    let settings = json!({ "address": lan.address("rogue"), "packets": 20_000 });
    lan.play("rogue", "noise", &settings).wait(SOON, |line| line == "@done");
    let mut late = lan.play("till", "browser", &json!({}));
    late.wait(SOON, |line| line.starts_with("@seen storebox-a1b2c3|"));
    announcing.order("revision 5");
    browser.wait(Duration::from_secs(10), |line| line.ends_with("|rev 5"));
}
