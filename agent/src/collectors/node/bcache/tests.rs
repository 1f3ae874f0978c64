use super::*;
use crate::collectors::node::noise::noise;
use crate::collectors::node::testing::Fixture;
use proptest::prelude::*;

#[test]
fn amounts() {
    for (text, expected) in [
        ("0", 0.0),
        ("697", 697.0),
        ("1k", 1024.0),
        ("1.5k", 1524.0),
        ("-1.5k", -1524.0),
        ("2.0M", 2097152.0),
        ("1.1Y", 1.09765625 * 1024_f64.powi(8)),
    ] {
        assert_eq!(amount(text), Some(expected), "{text}");
    }
    for text in [
        "", "k", "-", "1.k", ".5k", "1.2.3k", "5x", "5m", "many", "nan", "infinity", "1 k", "é",
    ] {
        assert_eq!(amount(text), None, "{text}");
    }
}

const SET: &str = "sys/fs/bcache/0a-1b";

fn host(files: &[(&str, &str)]) -> Fixture {
    let fixture = Fixture::new(&[("sys/fs/bcache/register", "")]);
    for (path, text) in files {
        fixture.put(&[(&format!("{SET}/{path}"), text)]);
    }
    fixture
}

#[test]
fn a_set_its_devices_and_its_caches() {
    let fixture = host(&[
        ("tree_depth", "1\n"),
        (DURATION, "1305\n"),
        ("stats_total/cache_hits", "5\n"),
        ("bdev0/dirty_data", "2.0k\n"),
        ("bdev0/stats_total/cache_hits", "7\n"),
        (
            "bdev0/writeback_rate_debug",
            "rate:\t\t1.0k/sec\ndirty:\t\t0\nchange:\t\t-3/sec\nnext io:\t17ms\n",
        ),
        ("cache0/written", "9\n"),
        ("cache0/priority_stats", "Unused:\t\t99%\nAverage:\t5\n"),
        ("cache_replacement_policy", "[lru]\n"),
    ]);
    let text = "node_bcache_btree_read_average_duration_seconds{…} 1.305e-06\n\
         node_bcache_cache_hits_total{…,backing_device=\"bdev0\"} 5\n\
         node_bcache_dirty_data_bytes{…,backing_device=\"bdev0\"} 2048\n\
         node_bcache_tree_depth{…} 1\n\
         node_bcache_writeback_change{…,backing_device=\"bdev0\"} -3\n\
         node_bcache_writeback_rate{…,backing_device=\"bdev0\"} 1024\n\
         node_bcache_written_bytes_total{…,cache_device=\"cache0\"} 9\n";
    assert_eq!(fixture.text(&COLLECTOR).replace("uuid=\"0a-1b\"", "…"), text);
    let fixture = fixture.set(PRIORITY_STATS.name, "true");
    let line = "node_bcache_priority_stats_unused_percent{uuid=\"0a-1b\",cache_device=\"cache0\"} 99\n";
    assert!(fixture.text(&COLLECTOR).contains(line));
}

#[test]
fn what_is_no_amount_is_told_and_the_rest_stays() {
    let (text, result) = host(&[("tree_depth", "deep\n"), ("congested", "2\n")]).collect(&COLLECTOR);
    assert_eq!(text, "node_bcache_congested{uuid=\"0a-1b\"} 2\n");
    let error = result.unwrap_err().to_string();
    assert!(error.ends_with("0a-1b/tree_depth: \"deep\" is no amount"), "{error}");
    assert_eq!(Fixture::new(&[]).text(&COLLECTOR), "", "no cache is no error");
}

proptest! {
    #[test]
    fn amounts_of_all_sorts(text in noise(&["1", ".", "5", "k", "M", "Y", "-", "e9", "inf"])) {
        for text in text.lines() {
            prop_assert!(amount(text).is_none_or(f64::is_finite));
        }
        is_numbered(&text, "bdev");
    }
}
