//! Values at a boundary are on disk, not in memory. Alone in its process, as the peak is of the whole process.
#![cfg(target_os = "linux")]

mod common;

use common::wide::{Folder, Wide, fours};
use ukulele_training::{BoundaryValues, DataKey, FeatureCache};

/// Most bytes that the process has had in memory so far.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[test]
fn what_is_kept_takes_no_memory() {
    let folder = Folder::new("cache-memory");
    let (width, inputs) = (1 << 17, (0..256).map(|i| 0.1 * i as f32).collect::<Vec<_>>());
    let (bytes, key) = (width * inputs.len() * 2, DataKey::new("256 of them", inputs.len()));
    let cache = FeatureCache::new(&folder.0).unwrap();
    let lists = || (0..inputs.len()).map(|i| i * 77 % inputs.len()).collect::<Vec<_>>();
    let seen = |values: &BoundaryValues| {
        for batch in values.batches(lists().chunks(4).map(<[usize]>::to_vec).collect()) {
            let batch = batch.unwrap();
            for (row, &label) in batch.inputs.value.to_vec().chunks(width).zip(&batch.labels) {
                let exact = Wide::number(inputs[label as usize], 77);
                assert!((row[77] - exact).abs() <= exact.abs() / 2048.0, "{label}");
            }
        }
    };
    let start = peak();
    for read in [false, true] {
        let found = cache.boundary(&mut Wide(width), &key, fours(&inputs)).unwrap();
        assert!(found.read == read && found.warning.is_none());
        seen(&found.features);
    }
    let grown = peak() - start;
    assert!(grown < bytes / 3, "{grown} bytes, for values of {bytes}");
    let held = BoundaryValues::of(&mut Wide(width), fours(&inputs)).unwrap();
    seen(&held);
    assert!(peak() - start > bytes, "this test measures nothing");
}
