use std::fs;

use super::*;

fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

fn importer(dir: &Path) -> Importer {
    Importer::new(
        Registry::built_in(),
        Limits { bytes_max: 1 << 20, records_max: 100, ..Limits::default() },
        dir,
    )
}

/// A directory with these files, imported.
fn import(files: &[(&str, &[u8])]) -> Result<Import, ImportError> {
    let (dir, spool) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (name, content) in files {
        fs::write(dir.path().join(name), content).unwrap();
    }
    importer(spool.path()).directory(dir.path())
}

fn faults(result: Result<Import, ImportError>) -> Vec<String> {
    match result {
        Err(ImportError::Refused(faults)) => faults.listed.iter().map(Fault::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

fn rows(import: &Import, model: &str) -> Vec<(String, Option<String>)> {
    let text = |body: bytes::Bytes| String::from_utf8(body.to_vec()).unwrap();
    let row = |row: io::Result<_>| row.unwrap();
    import
        .batch
        .rows(&name(model))
        .map(row)
        .map(|(id, body)| (id.to_string(), body.map(text)))
        .collect()
}

#[test]
fn a_directory_of_files_is_read_whole_and_sorted() {
    let products = b"{\"id\":\"2\",\"name\":\"b\"}\n\n{\"name\":\"a\",\"id\":\"1\"}\n{\"id\":\"3\",\"active\":false}\n";
    let brands =
        b"\xef\xbb\xbfid,name,active\r\nM2,\"Second, \"\"two\"\"\",Y\nM1,,true\nM3,Gone,N\n";
    let files: [(&str, &[u8]); 4] = [
        ("Product.ndjson", products),
        ("Brand.csv", brands),
        ("tickets.ndjson", b"not looked at"),
        ("README.md", b"# no"),
    ];
    let import = import(&files).unwrap();
    let some = |id: &str, body: &str| (id.to_owned(), Some(body.to_owned()));
    assert_eq!(
        rows(&import, "Product"),
        [
            some("1", r#"{"id":"1","name":"a"}"#),
            some("2", r#"{"id":"2","name":"b"}"#),
            ("3".into(), None)
        ]
    );
    assert_eq!(
        rows(&import, "Brand")[1].1.as_deref().unwrap(),
        r#"{"active":true,"id":"M2","name":"Second, \"two\""}"#
    );
    assert!(import.batch.is_whole(&name("Product")));
    assert_eq!(import.ignored, ["README.md", "tickets.ndjson"]);
}

#[test]
fn a_bad_row_is_named_by_file_line_and_field_and_nothing_is_imported() {
    let products = b"{\"id\":\"1\"}\n{\"id\":\"2\",\"barcode\":{}}\n{\"id\":\"1\",\"x\":1}\n\xff\n";
    let refused =
        faults(import(&[("Product.ndjson", products), ("Brand.ndjson", b"{\"id\":\"M1\"}")]));
    assert_eq!(
        refused,
        [
            "Product.ndjson:2: field barcode: is indexed and must be a string, number or boolean",
            "Product.ndjson:4: not UTF-8 from byte 1 on",
            "Product.ndjson:3: field id: 1 is there already, in line 1",
        ]
    );
}

#[test]
fn a_row_that_says_the_same_again_is_taken_once() {
    let brands = b"{\"id\":\"1\",\"name\":\"a\"}\n{\"name\":\"a\",\"id\":\"1\"}\n{\"id\":\"2\"}\n{\"id\":\"2\"}\n";
    let import = import(&[("Brand.ndjson", brands)]).unwrap();
    assert_eq!((rows(&import, "Brand").len(), import.repeated), (2, 2));
}

#[test]
fn unknown_local_and_doubled_models_are_refused() {
    let one = b"{\"id\":\"1\"}".as_slice();
    assert!(
        faults(import(&[("Produkt.ndjson", one)]))[0].contains("\"Produkt\" is not registered")
    );
    assert!(faults(import(&[("Order.ndjson", one)]))[0].contains("born in the shops"));
    let both = import(&[("Brand.ndjson", one), ("Brand.csv", b"id\n1")]);
    assert_eq!(faults(both), ["Brand.ndjson: is a second file of Brand beside Brand.csv"]);
    assert!(matches!(import(&[("README.md", one)]), Err(ImportError::Nothing { .. })));
}

#[test]
fn a_table_with_a_wrong_shape_is_refused() {
    let refused = faults(import(&[("Brand.csv", b"name,name\nx,y\n1\n\"a\nb\"")]));
    assert_eq!(refused[0], "Brand.csv:1: field name: is named twice");
    assert!(
        refused.iter().any(|fault| fault.contains("Brand.csv:3: 1 cells where")),
        "{refused:?}"
    );
    assert!(refused.iter().any(|fault| fault.contains("not closed")), "{refused:?}");
}

#[test]
fn at_most_twenty_faults_are_listed_and_all_are_counted() {
    let lines = "{}\n".repeat(50);
    let Err(ImportError::Refused(faults)) = import(&[("Brand.ndjson", lines.as_bytes())]) else {
        panic!("refused");
    };
    assert_eq!((faults.listed.len(), faults.total), (FAULTS_LISTED_MAX, 50));
}

#[test]
fn what_is_too_large_is_refused_with_bounded_effort() {
    let many: String = (0..200).map(|n| format!("{{\"id\":\"{n}\"}}\n")).collect();
    assert!(faults(import(&[("Brand.ndjson", many.as_bytes())]))[0].contains("more than 100 rows"));
    let bomb = zeros_zst(64 << 20);
    assert!(bomb.len() < 1 << 16);
    let refused = faults(import(&[("Brand.ndjson.zst", &bomb)]));
    assert!(refused[0].contains("more than 1048576 bytes"), "{refused:?}");
    let torn = &bomb[..bomb.len() / 2];
    assert!(!faults(import(&[("Brand.ndjson.zst", torn)])).is_empty());
    assert!(!faults(import(&[("Brand.ndjson.zst", b"not zstd at all")])).is_empty());
}

/// A valid zstd frame of run-length blocks: a few bytes that stand for many.
fn zeros_zst(len: usize) -> Vec<u8> {
    const BLOCK: usize = 128 << 10;
    // Magic; descriptor: no checksum, no size, window of its own; window of 128 KB.
    let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let blocks = len / BLOCK;
    for n in 0..blocks {
        let header = (BLOCK << 3) | 0b010 | usize::from(n + 1 == blocks);
        bytes.extend_from_slice(&header.to_le_bytes()[..3]);
        bytes.push(b'0');
    }
    bytes
}

#[test]
fn several_compressed_frames_are_one_file() {
    let frame = |text: &str| {
        let header = (text.len() << 3) | 1;
        let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
        bytes.extend_from_slice(&header.to_le_bytes()[..3]);
        bytes.extend_from_slice(text.as_bytes());
        bytes
    };
    let both = [frame("{\"id\":\"1\"}\n{\"id\""), frame(":\"2\"}\n")].concat();
    assert_eq!(rows(&import(&[("Brand.ndjson.zst", &both)]).unwrap(), "Brand").len(), 2);
}

#[test]
fn changes_take_the_later_line_and_the_chosen_weeks() {
    let dir = tempfile::tempdir().unwrap();
    let lines = r#"{"week":2,"model":"Brand","record":{"id":"1","name":"a"}}
{"week":3,"model":"Brand","record":{"id":"1","name":"b"}}
{"week":4,"model":"Brand","record":{"id":"1","name":"c"}}
{"week":3,"model":"Product","removed":"7"}
{"model":"Product","record":{"id":"8","active":false}}
"#;
    let weeks = Weeks { first: 2, last: 3 };
    let import = importer(dir.path()).changes(lines.as_bytes(), weeks).unwrap();
    assert_eq!(
        rows(&import, "Brand"),
        [("1".to_owned(), Some(r#"{"id":"1","name":"b"}"#.to_owned()))]
    );
    assert_eq!(rows(&import, "Product"), [("7".to_owned(), None), ("8".to_owned(), None)]);
    assert!(!import.batch.is_whole(&name("Brand")));
    fs::write(dir.path().join("changes.ndjson"), lines).unwrap();
    let import = importer(dir.path()).changes_file(dir.path(), Weeks::ALL).unwrap();
    assert!(rows(&import, "Brand")[0].1.as_deref().unwrap().contains("\"c\""));
}

#[test]
fn a_change_that_is_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let bad = [
        (r#"{"model":"Brand"}"#, "either a record or removed"),
        (r#"{"model":"Brand","record":{"id":"1"},"removed":"1"}"#, "either a record or removed"),
        (r#"{"model":"Brand","removed":1}"#, "field removed"),
        (r#"{"model":"Brand","record":[]}"#, "field record"),
        (r#"{"model":"Nope","removed":"1"}"#, "field model"),
        (r#"{"removed":"1"}"#, "field model"),
        (r#"{"week":"x","model":"Brand","removed":"1"}"#, "field week"),
        (r#"{"model":"Brand","removed":"1","recrod":{}}"#, "field recrod"),
        (r#"{"model":"Brand","record":{"id":"1","x":1e30}}"#, "field x"),
    ];
    for (line, expected) in bad {
        let refused = faults(importer(dir.path()).changes(line.as_bytes(), Weeks::ALL));
        assert!(refused[0].starts_with("body:1: ") && refused[0].contains(expected), "{refused:?}");
    }
}

#[test]
fn an_import_may_define_the_model_that_it_brings() {
    let files: [(&str, &[u8]); 2] = [
        (
            "Model.ndjson",
            br#"{"id":"Recipe","feed":"catalogue","indexes":[{"field":"name","kind":"text"}]}"#,
        ),
        ("Recipe.ndjson", br#"{"id":"1","name":"Soup"}"#),
    ];
    let import = import(&files).unwrap();
    assert!(import.registry.get(&name("Recipe")).is_some());
    let harmful: [(&str, &[u8]); 1] = [("Model.ndjson", br#"{"id":"Order","feed":"catalogue"}"#)];
    assert!(faults(self::import(&harmful))[0].contains("cannot be changed"));
}

#[test]
fn one_model_may_come_as_a_stream() {
    let dir = tempfile::tempdir().unwrap();
    let import = importer(dir.path()).model(&name("Brand"), b"{\"id\":\"1\"}".as_slice()).unwrap();
    assert_eq!(import.batch.len(&name("Brand")), 1);
    assert!(!import.batch.is_empty());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "the spool has no name");
}

#[test]
fn a_typing_error_in_a_channel_is_refused_with_its_path() {
    let services = br#"{"id":"s","channelId":"web","type":"query","parameters":{"cacheSecond":5}}"#;
    let terminals = br#"{"id":"web-1","channelId":["web","kiosk"]}"#;
    let files: [(&str, &[u8]); 2] =
        [("ChannelService.ndjson", services), ("Terminal.ndjson", terminals)];
    let said = faults(import(&files));
    let start = "ChannelService.ndjson:1: field parameters.cacheSecond: unknown field";
    assert!(said[0].starts_with(start), "{said:?}");
    assert!(said[1].starts_with("Terminal.ndjson:1: field channelId: "));
}
