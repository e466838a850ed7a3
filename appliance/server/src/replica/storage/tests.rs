use super::*;

fn settings(url: &str) -> Settings {
    let (user, secret) = ("key".to_owned(), "sesame".to_owned());
    let endpoint = "https://s3.example".to_owned();
    Settings { url: url.to_owned(), user, secret, endpoint, ..Settings::default() }
}

#[test]
fn a_place_is_named_without_its_secret_and_a_secret_in_the_address_is_refused() {
    for (url, name) in [
        ("/media/stick", "file:///media/stick"),
        ("file:///media/stick", "file:///media/stick"),
        ("http://web.example/feeds/", "http://web.example/feeds"),
        ("dav://dav.example/feeds", "http://dav.example/feeds"),
        ("ftp://ftp.example/a/b", "ftp://ftp.example:21/a/b"),
        ("s3://bucket/feeds", "s3://bucket/feeds"),
    ] {
        let place = Place::parse(settings(url)).unwrap();
        assert_eq!(place.to_string(), name);
        assert!(!format!("{place:?} {:?}", settings(url)).contains("sesame"));
    }
    for bad in ["", "bucket", "gopher://x", "s3:///x", "http://a/b?token=1"] {
        assert!(Place::parse(settings(bad)).is_err(), "{bad}");
    }
    for secret in ["ftp://me:sesame@ftp.example/", "http://me@web.example/"] {
        let error = Place::parse(settings(secret)).unwrap_err().to_string();
        assert!(error.contains("holds a password") && !error.contains("sesame"), "{error}");
    }
    let broken = Settings { secret: "a\r\nDELE x".to_owned(), ..settings("ftp://h/") };
    assert!(matches!(Place::parse(broken), Err(PlaceError::LineBreak { .. })));
}

#[tokio::test]
async fn what_is_written_twice_at_once_is_there_once_and_whole() {
    let dir = tempfile::tempdir().unwrap();
    let lines = Lines::new(dir.path(), None);
    let storage = Storage::open(settings(dir.path().to_str().unwrap()), &lines).unwrap();
    let (path, bytes) = ("v1/objects/22/2253", Bytes::from(vec![7; 100_000]));
    for _ in 0..50 {
        let (one, other) = tokio::join!(storage.write(path, &bytes), storage.write(path, &bytes));
        one.unwrap();
        other.unwrap();
        assert_eq!(storage.read(path, bytes.len()).await.unwrap(), Some(bytes.clone()));
    }
    let beside = std::fs::read_dir(dir.path().join("v1/objects/22")).unwrap();
    assert_eq!(beside.count(), 1);
}

#[tokio::test]
async fn a_folder_keeps_what_is_written_and_says_when_the_stick_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("stick");
    std::fs::create_dir(&root).unwrap();
    let lines = Lines::new(dir.path(), None);
    let storage = Storage::open(settings(root.to_str().unwrap()), &lines).unwrap();
    let path = "v1/heads/catalogue";
    assert_eq!(storage.read(path, 10).await.unwrap(), None);
    storage.write(path, &Bytes::from_static(b"head")).await.unwrap();
    assert_eq!(storage.size(path).await.unwrap(), Some(4));
    assert_eq!(storage.read(path, 4).await.unwrap().unwrap(), "head");
    assert!(matches!(storage.read(path, 3).await, Err(StorageError::TooLarge { .. })));
    storage.remove(path).await.unwrap();
    storage.remove(path).await.unwrap();
    assert_eq!(storage.size(path).await.unwrap(), None);
    std::fs::remove_dir_all(&root).unwrap();
    assert!(matches!(storage.read(path, 9).await, Err(StorageError::Unreachable { .. })));
}
