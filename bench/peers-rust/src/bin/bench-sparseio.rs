//! The crate sparseio on the work `passes` of bench/mirror.c; prints CSV with a header.
//!
//!     bench-sparseio --dir D --source S --bytes B [--check 1]
//!
//! Used as in its own example: tokio's usual runtime, a Viewer, one read after the other. There is no map to be saved.

use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::time::Instant;

use sparseio::Builder;
use sparseio::sources::file::{Reader, Writer};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const BLOCK: usize = 65536;

/// The numbers that one of the system's files has behind these names.
fn numbers(path: &str, names: [&str; 2]) -> [u64; 2] {
    let text = fs::read_to_string(path).unwrap_or_default();
    names.map(|name| {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap_or("");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
    })
}

fn calls() -> [u64; 2] {
    numbers("/proc/self/io", ["syscr:", "syscw:"])
}

/// The highest resident size so far, bytes.
fn peak() -> u64 {
    numbers("/proc/self/status", ["VmHWM:", ""])[0] * 1024
}

/// Of all threads, seconds.
fn cpu() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64
}

struct Step {
    name: &'static str,
    begin: Instant,
    cpu: f64,
    calls: [u64; 2],
    own_reads: u64,
}

impl Step {
    fn begin(name: &'static str) -> Step {
        let first = calls();
        let calls = calls();
        Step { name, calls, own_reads: calls[0] - first[0], cpu: cpu(), begin: Instant::now() }
    }

    fn end(&self, local: &str, bytes: usize, base: u64) {
        let (seconds, cpu) = (self.begin.elapsed().as_secs_f64(), cpu() - self.cpu);
        let [reads, writes] = calls();
        let allocated = fs::metadata(local).map_or(0, |facts| facts.blocks() * 512);
        println!("sparseio,{},{bytes},{seconds:.6},{cpu:.6},{},{},{allocated},0,{},,sparseio 0.0.1", self.name,
                 reads - self.calls[0] - self.own_reads, writes - self.calls[1], peak() - base);
    }
}

/// The numbers below `count`, in an order without pattern: SplitMix64, as in bench.h.
fn scattered(count: usize) -> Vec<usize> {
    let (mut state, mut order) = (1u64, Vec::from_iter(0..count));
    for i in (1..count).rev() {
        state = state.wrapping_add(0x9e3779b97f4a7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
        order.swap(i, ((z ^ (z >> 31)) % (i as u64 + 1)) as usize);
    }
    order
}

fn same(got: &[u8], source: &File, offset: usize) -> Result<()> {
    let mut expected = vec![0; got.len()];
    source.read_exact_at(&mut expected, offset as u64)?;
    if got == expected { Ok(()) } else { Err("what was read is not what the source has".into()) }
}

fn option(name: &str) -> Result<String> {
    let mut words = std::env::args().skip_while(|word| word != name);
    words.nth(1).ok_or_else(|| format!("{name} is missing").into())
}

async fn run() -> Result<()> {
    let (path, local) = (option("--source")?, format!("{}/local", option("--dir")?));
    let bytes = option("--bytes")?.parse::<usize>()?;
    let check = option("--check").is_ok_and(|word| word != "0");
    let (source, order, mut block) = (File::open(&path)?, scattered(bytes / BLOCK), vec![0; BLOCK]);
    for i in 0..order.len() {
        source.read_exact_at(&mut block, (i * BLOCK) as u64)?;   // into the page cache
    }
    println!("contender,step,bytes,seconds,cpu_seconds,reads,writes,allocated_bytes,map_bytes,peak_bytes,held_bytes,\
              version");
    let (base, step) = (peak(), Step::begin("open"));
    let mirror = Builder::new().chunk_size(BLOCK).reader(Reader::new(&path)).writer(Writer::new(&local));
    let mut viewer = Arc::new(mirror.build().await?).viewer();
    step.end(&local, 0, base);
    for name in ["first", "second"] {
        let step = Step::begin(name);
        for i in &order {
            viewer.seek(i * BLOCK)?;
            let done = viewer.read(&mut block).await?;
            if done != BLOCK {
                return Err("the mirror ends early".into());
            }
            if check {
                same(&block, &source, i * BLOCK)?;
            }
        }
        step.end(&local, bytes, base);
    }
    let step = Step::begin("close");
    drop(viewer);
    step.end(&local, 0, base);
    let written = File::open(&local)?;
    for i in 0..order.len() {
        written.read_exact_at(&mut block, (i * BLOCK) as u64)?;
        same(&block, &source, i * BLOCK)?;
    }
    Ok(())
}

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}
