//! The crate array-format on the work `arrays` of bench/store.c, uncompressed; prints CSV with a header.
//!
//!     bench-peers --dir D --arrays N --bytes B --chunk-rows R --drop PROGRAM
//!
//! A finished file never changes: rows are overwritten, and a file is compacted, by copying it into a new one. Cold:
//! PROGRAM, bench_read, has dropped the files from the page cache.

use std::error::Error;
use std::fs::{self, File};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use array_format::{ArrayFile, ArrayWriter, NoCompression, ReadConfig, WriterConfig};
use ndarray::ArrayD;
use object_store::{ObjectStore, local::LocalFileSystem, path::Path};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const COLUMNS: usize = 1024;
const FIRST_ROW: usize = 100;
const ROWS: usize = 104;

struct Job {
    dir: String,
    drop: String,
    arrays: usize,
    rows: usize,
    chunk_rows: usize,
    input: Vec<ArrayD<f32>>,
    patch: ArrayD<f32>,
    store: Arc<dyn ObjectStore>,
    base: u64,
}

/// The highest resident size so far, bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// SplitMix64, as in bench.h; finite numbers, so that they compare.
fn noise(rows: usize, seed: u64) -> ArrayD<f32> {
    let mut state = seed;
    ArrayD::from_shape_fn(vec![rows, COLUMNS], |_| {
        state = state.wrapping_add(0x9e3779b97f4a7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        ((z ^ (z >> 27)) >> 40) as f32
    })
}

fn name(i: usize) -> String {
    format!("array{i:03}")
}

impl Job {
    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.dir)
    }

    fn bytes(&self) -> u64 {
        fs::read_dir(&self.dir).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum()
    }

    fn sync(&self, name: &str) -> Result<()> {
        File::open(self.file(name))?.sync_all()?;
        Ok(File::open(&self.dir)?.sync_all()?)
    }

    fn make_cold(&self) -> Result<()> {
        let done = Command::new(&self.drop).args(["--work", "drop", "--dir", &self.dir]).status()?;
        if done.success() { Ok(()) } else { Err("the files stay in the page cache".into()) }
    }

    async fn write(&self) -> Result<()> {
        let mut writer = ArrayWriter::new(WriterConfig::new(NoCompression));
        for (i, input) in self.input.iter().enumerate() {
            let names = vec!["y".into(), "x".into()];
            let chunk = vec![self.chunk_rows, COLUMNS];
            writer.define_array::<f32>(&name(i), names, vec![self.rows, COLUMNS], Some(chunk), None)?;
            writer.write_array(&name(i), vec![0, 0], input.view())?;
        }
        writer.finish(Arc::clone(&self.store), Path::from("1.af")).await?;
        self.sync("1.af")
    }

    async fn read(&self, path: &str, patched: Option<bool>) -> Result<()> {
        let file = ArrayFile::open(Arc::clone(&self.store), Path::from(path), ReadConfig::default()).await?;
        for (i, input) in self.input.iter().enumerate() {
            let got = file.read_array::<f32>(&name(i), vec![], vec![]).await?;
            let Some(patched) = patched else { continue };
            for (row, (a, b)) in got.rows().into_iter().zip(input.rows()).enumerate() {
                let b = match row {
                    FIRST_ROW..204 if patched => self.patch.slice(ndarray::s![row - FIRST_ROW, ..]),
                    _ => b,
                };
                if a != b {
                    return Err(format!("row {row} of array {i} is not what was written").into());
                }
            }
        }
        Ok(())
    }

    async fn rewrite(&self, from: &str, to: &str, patch: bool) -> Result<()> {
        let source = ArrayFile::open(Arc::clone(&self.store), Path::from(from), ReadConfig::default()).await?;
        let mut writer = ArrayWriter::new(WriterConfig::new(NoCompression));
        for i in 0..self.arrays {
            writer.copy_array(&source, &name(i)).await?;
            if patch {
                writer.write_array(&name(i), vec![FIRST_ROW, 0], self.patch.view())?;
            }
        }
        writer.finish(Arc::clone(&self.store), Path::from(to)).await?;
        self.sync(to)
    }

    fn line(&self, step: &str, begin: Instant, before: u64) {
        let bytes = self.arrays * self.rows * COLUMNS * 4;
        let (seconds, size) = (begin.elapsed().as_secs_f64(), self.bytes());
        println!("array-format,{step},{bytes},{seconds:.6},,{size},{},{},array-format 0.15.0",
                 size as i64 - before as i64, peak() - self.base);
    }

    async fn run(&self) -> Result<()> {
        println!("contender,step,bytes,seconds,cpu_seconds,file_bytes,grown_bytes,peak_bytes,version");
        let begin = Instant::now();
        self.write().await?;
        self.line("write", begin, 0);
        self.make_cold()?;
        for step in ["read-cold", "read-warm"] {
            let (begin, before) = (Instant::now(), self.bytes());
            self.read("1.af", None).await?;
            self.line(step, begin, before);
        }
        let (begin, before) = (Instant::now(), self.bytes());
        self.rewrite("1.af", "2.af", true).await?;
        self.line("overwrite", begin, before);
        fs::remove_file(self.file("1.af"))?;
        self.make_cold()?;
        let (begin, before) = (Instant::now(), self.bytes());
        self.rewrite("2.af", "3.af", false).await?;
        fs::remove_file(self.file("2.af"))?;
        self.line("compact", begin, before);
        self.read("3.af", Some(true)).await
    }
}

fn option(name: &str) -> Result<String> {
    let mut words = std::env::args().skip_while(|word| word != name);
    words.nth(1).ok_or_else(|| format!("{name} is missing").into())
}

fn main() -> Result<()> {
    let dir = option("--dir")?;
    let arrays: usize = option("--arrays")?.parse()?;
    let rows = option("--bytes")?.parse::<usize>()? / (4 * COLUMNS);
    let mut job = Job {
        store: Arc::new(LocalFileSystem::new_with_prefix(&dir)?),
        drop: option("--drop")?,
        chunk_rows: option("--chunk-rows")?.parse()?,
        input: (0..arrays).map(|i| noise(rows, i as u64)).collect(),
        patch: noise(ROWS, 1 << 32),
        base: 0,
        dir,
        arrays,
        rows,
    };
    job.base = peak();
    tokio::runtime::Builder::new_multi_thread().build()?.block_on(job.run())
}
