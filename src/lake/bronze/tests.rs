use std::path::Path;

use arrow_array::{ArrayRef, Float64Array, Int64Array, new_null_array};

use super::super::encoding::decode;
use super::*;
use crate::clock::ManualClock;
use crate::error::Kind;
use crate::objects::Condition;
use crate::records::{Batch, schema};
use crate::series::DataType;

const DAY: i64 = 86_400_000;

fn writer(at: &Path) -> BronzeWriter {
    let url = at.to_str().unwrap();
    BronzeWriter::open(url, S3Settings::default(), Encoding::default(), Arc::new(ManualClock::new(0)))
        .unwrap()
}

fn rows(data_type: DataType, count: usize) -> Fetched {
    let ts = (0..count as i64).map(|row| row * 60_000).collect();
    let schema = schema(data_type);
    let columns = schema.fields().iter().skip(1).map(|field| -> ArrayRef {
        match field.data_type() {
            _ if field.is_nullable() && count == 1 => new_null_array(field.data_type(), count),
            arrow_schema::DataType::Int64 => Arc::new(Int64Array::from_iter_values(0..count as i64)),
            _ => Arc::new(Float64Array::from_iter_values((0..count).map(|row| row as f64 / 3.0))),
        }
    });
    let batch = Batch::new(data_type, ts, columns.collect()).unwrap();
    Fetched {
        batch,
        bytes: 0,
        truncated: false,
        quotas: Vec::new(),
        lineage: vec![("endpoint".into(), "/x".into())],
    }
}

fn series(symbol: &str, data_type: DataType) -> Series {
    Series { source: "test".into(), data_type, symbol: symbol.into(), timeframe: "1m".parse().unwrap() }
}

fn day(number: i64) -> TimeRange {
    TimeRange::new(number * DAY, (number + 1) * DAY).unwrap()
}

async fn files(writer: &BronzeWriter) -> Vec<String> {
    let mut files = writer.objects.list("").await.unwrap();
    files.sort();
    files
}

#[tokio::test]
async fn every_data_type_comes_back_bit_for_bit() {
    let lake = tempfile::tempdir().unwrap();
    let writer = writer(lake.path());
    for data_type in DataType::ALL {
        for count in [1, 1440] {
            let fetched = rows(data_type, count);
            let receipt = writer.write(&series("BTC", data_type), day(0), &fetched).await.unwrap();
            let bytes = std::fs::read(receipt.uri.strip_prefix("file://").unwrap()).unwrap();
            assert_eq!(receipt.bytes, bytes.len() as u64);
            let read = decode(bytes.into()).unwrap();
            let read = arrow_select::concat::concat_batches(&read[0].schema(), &read).unwrap();
            assert_eq!(read.num_rows(), count);
            assert_eq!(read.columns(), fetched.batch.rows().columns());
        }
    }
}

#[tokio::test]
async fn a_chunk_written_twice_is_one_object_and_odd_names_stay_inside() {
    let lake = tempfile::tempdir().unwrap();
    let writer = writer(lake.path());
    for symbol in ["BTC/USDT:USDT", "../x", ".."] {
        for _ in 0..2 {
            writer.write(&series(symbol, DataType::Ohlcv), day(0), &rows(DataType::Ohlcv, 3)).await.unwrap();
        }
    }
    let files = files(&writer).await;
    assert_eq!(files.len(), 3);
    assert!(
        files.iter().all(|file| file.starts_with("source=test/dataset=ohlcv/symbol=")
            && file.split('/').all(|part| !part.starts_with('.'))),
        "{files:?}"
    );
}

#[tokio::test]
async fn what_lies_there_is_told_and_removed_by_range() {
    let lake = tempfile::tempdir().unwrap();
    let writer = writer(lake.path());
    let one = series("BTC", DataType::Ohlcv);
    for number in 0..4 {
        writer.write(&one, day(number), &rows(DataType::Ohlcv, 3)).await.unwrap();
    }
    writer.write(&series("ETH", DataType::Ohlcv), day(1), &rows(DataType::Ohlcv, 3)).await.unwrap();
    let held = writer.held(&one).await.unwrap();
    assert_eq!((&held.chunks[..], &held.cells[..]), (&[0, 1, 2, 3].map(day)[..], &[][..]));
    writer.remove(&one, day(2)).await.unwrap();
    writer.remove(&one, day(2)).await.unwrap();
    let left: Vec<i64> =
        files(&writer).await.iter().map(|key| object(key).unwrap().range.start() / DAY).collect();
    assert_eq!(left, [0, 1, 3, 1]);
}

#[tokio::test]
async fn rows_are_read_over_objects_in_order_and_a_missing_object_is_told() {
    let lake = tempfile::tempdir().unwrap();
    let writer = writer(lake.path());
    let one = series("BTC", DataType::FundingRate);
    let (first, second) = (rows(DataType::FundingRate, 1440), rows(DataType::FundingRate, 2880));
    writer.write(&one, day(0), &first).await.unwrap();
    let second = Fetched { batch: second.batch.within(day(1)), ..second };
    writer.write(&one, day(1), &second).await.unwrap();
    let noon = TimeRange::new(DAY / 2, DAY + DAY / 2).unwrap();
    let read = writer.read(&one, noon).await.unwrap();
    assert!(read.ts().iter().copied().eq((720..2160).map(|minute| minute * 60_000)));
    assert!(writer.read(&series("ETH", DataType::FundingRate), noon).await.unwrap().is_empty());
    let gone = writer
        .read_objects(&one, noon, &[day(0), day(1), day(1).intersect(noon).unwrap()].map(Object::chunk))
        .await;
    assert!(gone.unwrap_err().to_string().contains("is gone"));
}

#[tokio::test]
async fn old_stages_go_and_nothing_else_and_the_newest_of_a_path_is_told() {
    let root = tempfile::tempdir().unwrap();
    let own =
        ["staged=2026-01-01/a/b", "staged=2026-01-02/a/b", "staged=2026-01-03/a/b", "staged=2026-01-04/a/bc"];
    for folder in own.into_iter().chain(["date=2026-01-01", "other/staged=2026-01-01", "."]) {
        let folder = root.path().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("x.parquet"), "x").unwrap();
    }
    let writer = writer(root.path());
    assert_eq!(writer.tidy("a/b", "2026-01-02").await.unwrap().as_deref(), Some("2026-01-03"));
    assert_eq!(writer.tidy("b", "2026-01-03").await.unwrap(), None);
    let left = files(&writer).await;
    let wanted = [
        "date=2026-01-01/x.parquet",
        "other/staged=2026-01-01/x.parquet",
        "staged=2026-01-03/a/b/x.parquet",
        "staged=2026-01-04/a/bc/x.parquet",
        "x.parquet",
    ];
    assert_eq!(left, wanted);
}

#[tokio::test]
async fn a_lake_that_cannot_be_written_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = writer(&file.join("lake")).prepare().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.to_string().contains("/file") && !error.to_string().contains('\n'), "{error}");
    let open = |url| {
        BronzeWriter::open(url, S3Settings::default(), Encoding::default(), Arc::new(ManualClock::new(0)))
    };
    for url in ["lake", "http://x/y", "s3://", "file:relative"] {
        assert_eq!(open(url).err().map(|error| error.kind()), Some(Kind::Invalid), "{url}");
    }
}

#[tokio::test]
async fn unfinished_files_of_a_killed_writer_are_not_part_of_the_lake() {
    let lake = tempfile::tempdir().unwrap();
    let writer = writer(lake.path());
    writer.prepare().await.unwrap();
    let receipt =
        writer.write(&series("BTC", DataType::Ohlcv), day(0), &rows(DataType::Ohlcv, 3)).await.unwrap();
    let path = receipt.uri.strip_prefix("file://").unwrap();
    let left = Path::new(path).with_file_name(".x.parquet.1-1.qf-tmp");
    std::fs::write(&left, "half").unwrap();
    assert_eq!(files(&writer).await.len(), 1);
    let changed = |days: u64| {
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(days * 86_400);
        std::fs::File::open(&left).unwrap().set_modified(at).unwrap();
    };
    let clock = Arc::new(ManualClock::new(2 * DAY));
    let url = lake.path().to_str().unwrap();
    let later = BronzeWriter::open(url, S3Settings::default(), Encoding::default(), clock).unwrap();
    // Its writer may be at it still.
    changed(2);
    later.held(&series("BTC", DataType::Ohlcv)).await.unwrap();
    assert!(left.exists());
    changed(0);
    later.held(&series("BTC", DataType::Ohlcv)).await.unwrap();
    assert!(!left.exists() && Path::new(path).exists());
}

/// What credentials for `PutObject` alone see.
#[derive(Default)]
struct PutOnly(std::sync::Mutex<Vec<String>>);

#[async_trait]
impl Objects for Arc<PutOnly> {
    async fn probe(&self, clean_up: bool) -> Result<()> {
        if clean_up { self.delete("probe").await } else { Ok(()) }
    }
    async fn put(&self, key: &str, _: Bytes) -> Result<()> {
        self.0.lock().unwrap().push(key.to_owned());
        Ok(())
    }
    async fn get(&self, _: &str) -> Result<Option<Bytes>> {
        Err(Error::invalid("access denied"))
    }
    async fn get_tagged(&self, _: &str) -> Result<Option<(Bytes, String)>> {
        Err(Error::invalid("access denied"))
    }
    async fn replace_if(&self, _: &str, _: Bytes, _: &Condition) -> Result<bool> {
        Err(Error::invalid("access denied"))
    }
    async fn list(&self, _: &str) -> Result<Vec<String>> {
        Err(Error::invalid("access denied"))
    }
    async fn delete(&self, _: &str) -> Result<()> {
        Err(Error::invalid("access denied"))
    }
    fn uri(&self, key: &str) -> String {
        key.to_owned()
    }
}

#[tokio::test]
async fn a_write_only_lake_is_never_listed_and_nothing_in_it_deleted() {
    let bucket = Arc::new(PutOnly::default());
    let over = |bucket: &Arc<PutOnly>| BronzeWriter {
        objects: Box::new(Arc::clone(bucket)),
        encoding: Encoding::default(),
        write_only: false,
        clock: Arc::new(ManualClock::new(0)),
        turns: Turns::default(),
    };
    assert!(over(&bucket).prepare().await.is_err());
    let (writer, one) = (over(&bucket).write_only(), series("BTC", DataType::Ohlcv));
    writer.prepare().await.unwrap();
    assert_eq!(writer.held(&one).await.unwrap(), Held::default());
    writer.write(&one, day(0), &rows(DataType::Ohlcv, 3)).await.unwrap();
    assert_eq!(bucket.0.lock().unwrap().len(), 1);
}
