//! Checkpoints on disk: damage, newer versions, and processes that race and die.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use quant_framework::checkpoint::LocalCheckpointStore;
use quant_framework::coverage::{Coverage, State};
use quant_framework::error::Kind;
use quant_framework::ports::{Checkpoint, CheckpointStore};
use quant_framework::time_range::TimeRange;

const KEY: &str = "test/ohlcv/BTC/1m";
/// Set in the children of the race: folder, number of this child, commits.
const CHILD: &str = "QF_TEST_COMMITTER";

fn facts(start: i64) -> Checkpoint {
    let coverage: Coverage = [(TimeRange::new(start, start + 1).unwrap(), State::Data)].into_iter().collect();
    Checkpoint { coverage, ..Checkpoint::default() }
}

fn file(folder: &Path) -> PathBuf {
    file_of(folder, KEY)
}

fn file_of(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("{key}.json"))
}

/// How many unfinished files lie beside the checkpoint.
fn unfinished(folder: &Path) -> usize {
    let names = fs::read_dir(file(folder).parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with("qf-tmp")).count()
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_never_overwritten() {
    for (content, kind, says) in [
        ("{\"format\": 1, \"min_re", Kind::Data, "cannot be read"),
        ("not json", Kind::Data, "cannot be read"),
        (
            "{\"format\": 1, \"min_reader\": 1, \"series\": \"x\", \"generation\": 0}",
            Kind::Data,
            "cannot be read",
        ),
        ("{\"format\": 9, \"min_reader\": 9, \"whatever\": []}", Kind::Invalid, "format 9"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalCheckpointStore::new(folder.path());
        store.commit(KEY, &facts(0)).await.unwrap();
        fs::write(file(folder.path()), content).unwrap();
        for error in [store.load(KEY).await.unwrap_err(), store.commit(KEY, &facts(5)).await.unwrap_err()] {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(says) && error.to_string().contains("BTC/1m.json"), "{error}");
        }
        assert_eq!(fs::read_to_string(file(folder.path())).unwrap(), content);
    }
}

#[tokio::test]
async fn a_file_of_another_series_is_neither_merged_into_nor_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalCheckpointStore::new(folder.path());
    let other = KEY.replace("BTC", "ETH");
    store.commit(&other, &facts(7)).await.unwrap();
    store.commit(KEY, &facts(0)).await.unwrap();
    fs::copy(file_of(folder.path(), &other), file(folder.path())).unwrap();
    let before = fs::read(file(folder.path())).unwrap();
    for error in [
        store.load(KEY).await.unwrap_err(),
        store.commit(KEY, &facts(5)).await.unwrap_err(),
        store.reset(KEY).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Data, "{error}");
        assert!(error.message().contains("BTC/1m.json") && error.message().contains(&other), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("move it away")), "{error}");
    }
    assert_eq!(fs::read(file(folder.path())).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_file_does_not_hide_the_other_series() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalCheckpointStore::new(folder.path());
    let other = KEY.replace("BTC", "ETH");
    store.commit(&other, &facts(0)).await.unwrap();
    store.commit(KEY, &facts(0)).await.unwrap();
    fs::write(file(folder.path()), "not json").unwrap();
    assert_eq!(store.list("test/").await.unwrap(), [KEY, &other], "damage is for load to tell");
    assert_eq!(store.list("test/ohlcv/E").await.unwrap(), [other]);
    store.delete(KEY).await.unwrap();
    assert_eq!(store.load(KEY).await.unwrap(), None, "a damaged file can be deleted");
}

#[tokio::test]
async fn a_folder_that_cannot_be_is_an_invalid_argument() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "x").unwrap();
    let store = LocalCheckpointStore::new(folder.path().join("file/below"));
    assert_eq!(store.commit(KEY, &facts(0)).await.unwrap_err().kind(), Kind::Invalid);
    let store = LocalCheckpointStore::new(folder.path());
    for key in ["", "a//b", "../x", "a/../b", "a b"] {
        assert_eq!(store.load(key).await.unwrap_err().kind(), Kind::Invalid, "{key:?}");
    }
}

#[tokio::test]
async fn what_a_killed_writer_left_is_not_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalCheckpointStore::new(folder.path());
    store.commit(KEY, &facts(0)).await.unwrap();
    for name in ["1m.qf-tmp", ".1m.json.1-1.qf-tmp"] {
        fs::write(file(folder.path()).with_file_name(name), "half").unwrap();
    }
    assert_eq!(store.list("").await.unwrap(), [KEY]);
    store.commit(KEY, &facts(1)).await.unwrap();
    let held = store.load(KEY).await.unwrap().unwrap();
    assert_eq!(held.coverage.ranges(State::Data), [TimeRange::new(0, 2).unwrap()]);
}

#[tokio::test]
async fn killed_writers_do_not_pile_up_files() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..10 {
        let mut child = spawn(folder.path(), number, 100_000);
        while !folder.path().join(format!("acknowledged-{number}")).exists() {
            tokio::task::yield_now().await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(unfinished(folder.path()) <= 1, "the next writer reuses what a killed one left");
    }
    let store = LocalCheckpointStore::new(folder.path());
    store.commit(KEY, &facts(-1)).await.unwrap();
    assert!(unfinished(folder.path()) <= 1, "the state before may stay beside the file");
    store.delete(KEY).await.unwrap();
    assert_eq!(unfinished(folder.path()), 0);
}

/// Not a test of its own: the body of the children below.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how the parent tells the child what to do")]
async fn committer() {
    let Ok(job) = std::env::var(CHILD) else { return };
    let [folder, number, commits] = job.split('|').collect::<Vec<_>>()[..] else { panic!("{job}") };
    let (number, commits): (i64, i64) = (number.parse().unwrap(), commits.parse().unwrap());
    let store = LocalCheckpointStore::new(folder);
    let acknowledged = Path::new(folder).join(format!("acknowledged-{number}"));
    for round in 0..commits {
        let start = (round * 100 + number) * 2;
        store.commit(KEY, &facts(start)).await.unwrap();
        fs::write(&acknowledged, (round + 1).to_string()).unwrap();
    }
}

fn spawn(folder: &Path, number: usize, commits: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "local_checkpoints::committer"])
        .env(CHILD, format!("{}|{number}|{commits}", folder.display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn processes_that_race_on_one_series_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for child in (0..32).map(|number| spawn(folder.path(), number, 25)).collect::<Vec<_>>() {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    let held = LocalCheckpointStore::new(folder.path()).load(KEY).await.unwrap().unwrap();
    assert_eq!(held.coverage.segment_count(), 32 * 25);
}

#[tokio::test]
async fn a_process_killed_while_committing_keeps_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..10 {
        let mut child = spawn(folder.path(), number, 100_000);
        let acknowledged = || {
            let text =
                fs::read_to_string(folder.path().join(format!("acknowledged-{number}"))).unwrap_or_default();
            text.parse().unwrap_or(0_i64)
        };
        while acknowledged() < 2 + number as i64 {
            tokio::task::yield_now().await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let held = LocalCheckpointStore::new(folder.path()).load(KEY).await.unwrap().unwrap();
        for round in 0..acknowledged() {
            let start = (round * 100 + number as i64) * 2;
            assert!(
                held.coverage.missing(TimeRange::new(start, start + 1).unwrap()).is_empty(),
                "{number} {round}"
            );
        }
    }
}
