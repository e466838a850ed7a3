use proptest::prelude::*;

use super::*;

const EXAMPLE: &str = include_str!("../../storebox.example.toml");

fn parse(text: &str) -> Result<Provision, Rejected> {
    Provision::parse("storebox.toml", text.as_bytes())
}

/// What is said about the example after one change.
fn said(from: &str, to: &str) -> Vec<String> {
    assert!(EXAMPLE.contains(from), "{from:?} is in the example");
    let rejected = parse(&EXAMPLE.replacen(from, to, 1)).expect_err("the change breaks a rule");
    rejected.problems.iter().map(Problem::to_string).collect()
}

#[test]
fn the_example_is_a_good_file() {
    let provision = parse(EXAMPLE).unwrap();
    assert_eq!((provision.store.as_str(), provision.node.as_str()), ("0421", "box-0421-1"));
    let gateway = Some("192.168.10.1".parse().unwrap());
    let ip = "192.168.10.5".parse().unwrap();
    let dns = vec!["192.168.10.1".parse().unwrap()];
    let fixed = Address::Fixed { ip, prefix: 24, gateway, dns };
    assert_eq!(provision.network, Network { address: fixed, vlan: None, proxy: None });
    assert_eq!(provision.serial[0].baud, 9600);
    assert_eq!(provision.disk, Disk::default());
}

#[test]
fn what_seals_the_disk_is_read_and_its_key_is_never_shown() {
    let key = "0A".repeat(32);
    let text = EXAMPLE.replace("# encrypt = \"tpm\"", "encrypt = \"provisioned\"");
    let text = text.replace("# key = \"…\"", &format!("key = \"{key}\""));
    let disk = parse(&text).unwrap().disk;
    assert_eq!(disk.encrypt, Some(Encrypt::Provisioned));
    assert_eq!(disk.key.as_ref().unwrap().expose(), key.to_lowercase());
    assert!(!format!("{disk:?}").to_lowercase().contains("0a0a"));
}

#[test]
fn what_editors_do_to_a_file_is_no_error() {
    let windows = format!("\u{feff}{}", EXAMPLE.replace('\n', "\r\n"));
    assert_eq!(parse(&windows), parse(EXAMPLE));
}

#[test]
fn every_problem_is_told_with_its_line_and_key() {
    let text = "format = 1\nsite = \"Süd\"\nstore = 421\nnode = \"a\"\n\n[network]\n\
                address = \"192.168.1.5/24\"\ngateway = \"192.168.2.1\"\nvlan = 5000\n";
    let rejected = parse(text).unwrap_err();
    assert_eq!(
        rejected.problems.iter().map(Problem::to_string).collect::<Vec<_>>(),
        [
            "line 2: site: must be 1 to 32 of a-z, 0-9 and '-'",
            "line 3: store: must be a text in quotes",
            "token: is missing",
            "main.url: is missing",
            "main.public_key: is missing",
            "line 9: network.vlan: is not a number that is possible here",
            "line 8: network.gateway: 192.168.2.1 is not another address in the network 192.168.1.5/24",
        ]
    );
    assert!(rejected.to_string().starts_with("storebox.toml is not taken: line 2: site: "));
}

#[test]
fn each_rule_has_its_own_words() {
    let cases = [
        ("format = 1", "format = 2", "this box reads 1"),
        ("format = 1", "", "format: is missing"),
        (
            "# encrypt = \"tpm\"",
            "encrypt = \"luks\"",
            "must be \"tpm\", \"provisioned\" or \"off\"",
        ),
        ("# encrypt = \"tpm\"", "encrypt = \"provisioned\"", "disk.key: is missing"),
        ("# encrypt = \"tpm\"", "key = \"12\"", "disk.key: must be 64 hexadecimal digits"),
        ("format = 1", "format = \"1\"", "must be the number 1"),
        ("site = ", "sites = ", "unknown field `sites`"),
        ("https://main", "ftp://main", "line 16: main.url: must begin with https://"),
        ("main.example.com", "user:pw@main.example.com", "no user"),
        ("main.example.com", "main.example.com:99999", "port"),
        ("d75a98", "zz5a98", "64 hexadecimal digits"),
        ("\"paste-the-token-here\"", "\"short\"", "at least 16 characters"),
        ("192.168.10.5/24", "192.168.10.5", "and its prefix"),
        ("192.168.10.5/24", "127.0.0.1/8", "no address a box can have"),
        ("dns = [\"192.168.10.1\"]", "dns = \"192.168.10.1\"", "must be a list"),
        ("dns = [\"192.168.10.1\"]", "dns = [\"router\"]", "is no IP address"),
        ("address = \"192.168.10.5/24\"\n", "", "needs network.address beside it"),
        ("[network]", "[network]\nproxy = \"https://a\"", "network.proxy: must begin with http://"),
        ("[network]", "[network]\nproxy = \"http://a:1/b\"", "must end with the port"),
        ("\"/dev/ttyS0\"", "\"COM1\"", "must be a device"),
        ("\"/dev/ttyS0\"", "\"/dev/../etc\"", "must be a device"),
        ("baud = 9600", "baud = 9601", "is not a number that is possible"),
        ("baud = 9600", "", "serial.baud: is missing"),
        ("[main]", "[main", "line 15"),
    ];
    for (from, to, expected) in cases {
        let said = said(from, to);
        assert!(said.iter().any(|text| text.contains(expected)), "{to}: {said:?}");
    }
}

#[test]
fn no_message_and_no_print_shows_the_token() {
    let token = "paste-the-token-here";
    let debug = format!("{:?}", parse(EXAMPLE).unwrap());
    assert!(!debug.contains(token) && debug.contains("token: …"), "{debug}");
    for broken in [
        EXAMPLE.replace("\"paste", "\"pa ste"),
        EXAMPLE.replace("token = \"paste-the-token-here\"", "token = 1234567890123456"),
        EXAMPLE.replace("token = \"paste-the-token-here\"", "token = [\"paste-the-token-here\"]"),
        EXAMPLE.replace("\"paste-the-token-here\"", "paste-the-token-here"),
        EXAMPLE.replace("\"paste-the-token-here\"", "\"paste-the-token-here"),
    ] {
        let rejected = parse(&broken).unwrap_err();
        let said = format!("{rejected} {rejected:?}");
        assert!(!said.contains("the-token") && !said.contains("1234567890"), "{said}");
    }
}

#[test]
fn a_file_without_network_asks_the_router_and_two_ports_never_collide() {
    let (before, rest) = EXAMPLE.split_once("# Leave this out").unwrap();
    let serial = &rest[rest.find("[[serial]]").unwrap()..];
    assert_eq!(parse(before).unwrap().network.address, Address::Dhcp);
    let twice = format!("{before}{serial}{serial}");
    assert!(parse(&twice).unwrap_err().to_string().contains("comes twice"));
}

#[test]
fn bytes_that_are_no_text_say_in_which_line() {
    let rejected = Provision::parse("x", b"format = 1\nsite = \"S\xfcd\"\n").unwrap_err();
    assert_eq!(rejected.problems[0].line, Some(2));
}

proptest! {
    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Provision::parse("x", &bytes);
    }

    #[test]
    fn a_changed_example_never_panics(at in 0..EXAMPLE.len(), byte: u8) {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = Provision::parse("x", &bytes);
    }
}
