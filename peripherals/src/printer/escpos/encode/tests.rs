use proptest::prelude::*;

use super::*;
use crate::receipt::Drawer;

fn text(text: &str, style: Style) -> Item {
    let runs = vec![Run { at: 0, text: text.to_owned(), style }];
    Item::Row(Row { runs, tight: false })
}

fn bytes(items: Vec<Item>, profile: &Profile) -> Vec<u8> {
    encode(&Sheet { columns: profile.columns, items }, profile)
}

fn plain(line: &str, profile: &Profile) -> Vec<u8> {
    bytes(vec![text(line, Style::default())], profile)
}

fn whole(profile: &Profile) -> Area {
    Area { left: 0, width: profile.columns }
}

#[test]
fn golden_text_in_the_pages_of_an_epson() {
    let epson = Profile::epson_t88();
    assert_eq!(plain("Total 9.99", &epson), b"Total 9.99\n");
    assert_eq!(plain("1 €", &epson), b"1 \x1bt\x13\xd5\n");
    assert_eq!(plain("é", &epson), b"\x1bt\x00\x82\n");
    assert_eq!(plain("Жук", &epson), b"\x1bt\x11\x86\xe3\xaa\n");
    assert_eq!(plain("Ωμ", &epson), b"\x1bt\x0e\x97\xa3\n");
    assert_eq!(plain("ş", &epson), b"\x1bt\x12\xad\n");
    assert_eq!(plain("ığ", &epson), b"\x1bt\x0d\x8d\xa7\n");
}

#[test]
fn a_page_is_kept_while_it_serves() {
    assert_eq!(plain("€é€", &Profile::epson_t88()), b"\x1bt\x13\xd5\x82\xd5\n");
}

#[test]
fn a_letter_no_page_holds_turns_its_row_into_dots() {
    let out = plain("日本", &Profile::generic_58());
    // Two strips: a clone takes 24 rows at once, and the gap below the row is six more.
    assert_eq!(&out[..8], [0x1D, 0x76, 0x30, 0, 48, 0, 24, 0]);
    assert_eq!(out.len(), 8 + 48 * 24 + 8 + 48 * 6);
}

#[test]
fn ideographs_are_pairs_where_the_model_has_them() {
    let chinese = plain("a中b", &Profile::generic_80_chinese());
    assert_eq!(chinese, b"a\x1c&\xd6\xd0\x1c.b\n");
    let japanese = plain("日", &Profile::epson_m30_japanese());
    assert_eq!(japanese, b"\x1c&\x1cC\x01\x93\xfa\n");
}

#[test]
fn styles_are_switched_on_and_off_once() {
    let style = Style { bold: true, underline: true, invert: true, width: 2, height: 3 };
    assert_eq!(
        bytes(vec![text("x", style)], &Profile::epson_t88()),
        b"\x1bE\x01\x1b-\x01\x1dB\x01\x1d!\x12x\x1bE\x00\x1b-\x00\x1dB\x00\x1d!\x00\n"
    );
}

#[test]
fn a_run_at_half_a_column_is_placed_in_dots() {
    let runs = vec![Run { at: 5, text: "x".into(), style: Style::default() }];
    let out = bytes(vec![Item::Row(Row { runs, tight: false })], &Profile::epson_t88());
    assert_eq!(out, b"\x1b$\x1e\x00x\n");
}

#[test]
fn golden_barcodes_and_qr() {
    let epson = Profile::epson_t88();
    let mut code = Barcode::new(Symbology::Ean, "4006381333931").unwrap();
    code.readable = true;
    let item = |code| Item::Barcode { code, area: whole(&epson), align: Align::Center };
    assert_eq!(
        bytes(vec![item(code)], &epson),
        b"\x1ba\x01\x1dhH\x1dw\x02\x1dH\x02\x1df\x00\x1dkC\x0d4006381333931\x1ba\x00"
    );
    let pairs = Barcode::new(Symbology::Code128, "123456").unwrap();
    assert!(bytes(vec![item(pairs)], &epson).ends_with(b"\x1dkI\x05{C\x0c\x22\x38\x1ba\x00"));
    let braces = Barcode::new(Symbology::Code128, "a{1").unwrap();
    assert!(bytes(vec![item(braces)], &epson).ends_with(b"\x1dkI\x06{Ba{{1\x1ba\x00"));
    let code = Qr::new("abc", QrLevel::M).unwrap();
    let qr = Item::Qr { code, area: whole(&epson), align: Align::Left };
    assert_eq!(
        bytes(vec![qr], &epson),
        b"\x1d(k\x04\x001A2\x00\x1d(k\x03\x001C\x03\x1d(k\x03\x001E1\x1d(k\x06\x001P0abc\x1d(k\x03\x001Q0"
    );
}

#[test]
fn a_code_a_clone_cannot_draw_goes_as_dots() {
    let clone = Profile::generic_80();
    let code = Qr::new("abc", QrLevel::M).unwrap();
    let out = bytes(vec![Item::Qr { code, area: whole(&clone), align: Align::Left }], &clone);
    assert!(out.starts_with(&[0x1D, 0x76, 0x30, 0]));
}

#[test]
fn a_picture_is_sent_in_strips_the_model_can_take() {
    let clone = Profile::generic_80();
    let mut bitmap = Bitmap::white(16, 50);
    bitmap.fill(0, 0, 16, 50);
    let area = Area { left: 0, width: 48 };
    let out = bytes(vec![Item::Image { bitmap, area, align: Align::Left }], &clone);
    let strip = |rows: u8| {
        let mut strip = vec![0x1D, 0x76, 0x30, 0, 2, 0, rows, 0];
        strip.resize(8 + 2 * usize::from(rows), 0xFF);
        strip
    };
    assert_eq!(out, [strip(24), strip(24), strip(2)].concat());
}

#[test]
fn drawer_cut_feed_and_buzzer() {
    let items =
        vec![Item::Kick(Drawer::First), Item::Kick(Drawer::Second), Item::Feed(2), Item::Cut];
    assert_eq!(
        bytes(items, &Profile::epson_t88()),
        b"\x1bp\x00\x19\xfa\x1bp\x01\x19\xfa\x1bd\x02\x1dVB\x00"
    );
    assert_eq!(bytes(vec![Item::Buzz, Item::Cut], &Profile::generic_58()), b"\x1bd\x04");
    assert_eq!(bytes(vec![Item::Buzz], &Profile::generic_80()), b"\x1bB\x02\x02");
}

#[test]
fn ruled_lines_come_from_the_page_that_has_them() {
    assert_eq!(plain("┌─┐", &Profile::epson_t88()), b"\x1bt\x00\xda\xc4\xbf\n");
    let bare = Profile {
        pages: vec![(crate::receipt::CodePage::Windows1252, 16)],
        ..Profile::epson_t88()
    };
    assert_eq!(plain("┌─┐", &bare), b"+-+\n");
}

proptest! {
    #[test]
    fn no_picture_spells_a_real_time_command(
        mut dots in proptest::collection::vec(prop_oneof![Just(0x10u8), Just(4), Just(5), Just(0x14), any::<u8>()], 0..300),
    ) {
        real_time_free(&mut dots);
        for pair in dots.windows(2) {
            prop_assert!(!(pair[0] == 0x10 && matches!(pair[1], 0x04 | 0x05 | 0x14)));
        }
    }

    #[test]
    fn any_text_encodes_without_control_bytes_of_its_own(line in "\\PC{0,40}") {
        let out = plain(&line, &Profile::epson_t88());
        prop_assert!(!out.is_empty());
    }
}
