//! What lets somebody in is printed and is nowhere on the disk: not while it waits, not after it.

use super::*;

const SECRET: &str = "SBX1:0007:9f86d081884c7d65:2c26b46b68ffc68f";

fn slip(key: &str) -> Order {
    Order { secret: true, ..order(key, SECRET) }
}

/// Whether any file of the spool holds the secret; the spool's thread may rename one meanwhile, then all are read again.
fn is_on_disk(dir: &Path) -> bool {
    let look = || -> std::io::Result<bool> {
        for entry in std::fs::read_dir(dir)? {
            let bytes = std::fs::read(entry?.path())?;
            if bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    loop {
        match look() {
            Ok(found) => return found,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
        }
    }
}

#[tokio::test]
async fn a_slip_is_printed_whole_and_is_on_no_disk_before_or_after() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Spool::open(dir.path()).unwrap();
    let spool = &opened.spool;
    spool.submit(order("sale", "tea")).await.unwrap();
    spool.submit(slip("slip")).await.unwrap();
    assert!(!is_on_disk(dir.path()), "it waits in memory alone");
    assert_eq!(spool.content("slip".parse().unwrap()).await.unwrap(), None, "nobody looks at it");
    begin(spool).await.unwrap();
    let begun = begin(spool).await.unwrap();
    assert_eq!(begun.content.as_ref(), SECRET.as_bytes());
    tell(spool, begun.record.number, Verdict::NotStarted).await;
    let begun = begin(spool).await.unwrap();
    assert_eq!(begun.content.as_ref(), SECRET.as_bytes(), "a printer that was busy asks again");
    tell(spool, begun.record.number, Verdict::Printed(Level::Processed)).await;
    assert_eq!(state(spool, "slip").await, State::Printed { level: Level::Processed });
    let again = Wish::Reprint { key: "copy".parse().unwrap(), printer: None };
    let refused = spool.decide("slip".parse().unwrap(), again, "chief".into()).await.unwrap_err();
    assert_eq!(refused.code, Code::JobForgotten);
    close(opened).await;
    assert!(!is_on_disk(dir.path()));
    let opened = Spool::open(dir.path()).unwrap();
    let known = opened.spool.submit(slip("slip")).await.unwrap();
    assert_eq!(known.record.state, State::Printed { level: Level::Processed }, "never twice");
    assert!(!is_on_disk(dir.path()));
    close(opened).await;
}

#[tokio::test]
async fn a_slip_that_was_not_printed_in_time_or_before_a_restart_never_is() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Spool::open(dir.path()).unwrap();
    let mut late = slip("late");
    late.request.expires_at = Some(1);
    opened.spool.submit(late).await.unwrap();
    assert!(begin(&opened.spool).await.is_none());
    assert_eq!(state(&opened.spool, "late").await, State::Expired);
    opened.spool.submit(slip("waits")).await.unwrap();
    close(opened).await;
    let opened = Spool::open(dir.path()).unwrap();
    assert_eq!(state(&opened.spool, "waits").await, State::Cancelled);
    assert!(begin(&opened.spool).await.is_none());
    opened.spool.submit(order("sale", "tea")).await.unwrap();
    assert_eq!(begin(&opened.spool).await.unwrap().content.as_ref(), b"tea");
    close(opened).await;
    assert!(!is_on_disk(dir.path()));
    let opened = Spool::open(dir.path()).unwrap();
    assert_eq!(state(&opened.spool, "waits").await, State::Cancelled, "that is written down");
    close(opened).await;
}
