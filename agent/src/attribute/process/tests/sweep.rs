//! What nobody told of: processes that ended, and that became another program.

use super::*;

#[test]
fn a_process_that_ended_without_a_word_is_found() {
    let proc = Proc::new();
    proc.add(key(5), "/srv/shop", "shop", "", "0::/\n");
    proc.add(key(6), "/srv/stays", "stays", "", "0::/\n");
    let mut processes = processes(proc.host(), 8);
    processes.service(key(5));
    processes.service(key(6));
    proc.remove(key(5));
    processes.doubt(1);
    processes.expire(SECOND);
    assert_eq!((numbers(&processes).live, numbers(&processes).ended), (1, 1));
    processes.expire(40 * SECOND);
    assert_eq!((numbers(&processes).live, numbers(&processes).ended), (1, 0));
}

#[test]
fn an_exec_that_was_not_told_is_found() {
    let proc = Proc::new();
    proc.add(key(5), "/srv/shop", "shop", "", "0::/\n");
    proc.add(key(6), "/usr/bin/curl", "curl", "", "0::/\n");
    let mut processes = processes(proc.host(), 8);
    assert_eq!(&*processes.service(key(5)).name, "shop");
    processes.signal(&fork(key(5), key(6)));
    assert_eq!(&*processes.service(key(6)).name, "curl");
    proc.remove(key(5));
    proc.add(key(5), "/srv/other", "other", "", "0::/\n");
    assert_eq!(&*processes.service(key(5)).name, "shop");
    processes.doubt(1);
    processes.expire(SECOND);
    assert_eq!(&*processes.service(key(5)).name, "other");
}

/// Processes of these pids that are known and live.
fn crowd(proc: &Proc, pids: std::ops::RangeInclusive<u32>) -> Processes {
    let mut processes = processes(proc.host(), 1000);
    processes.config.round = 15;
    for pid in pids {
        proc.add(key(pid), "/srv/shop", "shop", "", "0::/\n");
        processes.service(key(pid));
    }
    processes
}

/// Ended as far as is known, after each of so many calls a second apart.
fn ends(processes: &mut Processes, calls: u64) -> Vec<u64> {
    let from = processes.now / SECOND;
    let all = (1..=calls).map(|call| {
        processes.expire((from + call) * SECOND);
        numbers(processes).ended
    });
    all.collect()
}

#[test]
fn all_are_looked_at_in_a_round_a_share_at_a_time() {
    let proc = Proc::new();
    let mut processes = crowd(&proc, 1..=40);
    for pid in 1..=40 {
        proc.remove(key(pid));
    }
    let round = processes.config.round as u64;
    let found = ends(&mut processes, round);
    // 40 in 15 calls: 3 a call.
    let expect: Vec<u64> = (1..=round).map(|call| (3 * call).min(40)).collect();
    assert_eq!(found, expect);
}

#[test]
fn many_are_looked_at_as_fast_as_is_allowed() {
    let proc = Proc::new();
    let mut processes = crowd(&proc, 1..=200);
    processes.config.sweep = 10;
    for pid in 1..=200 {
        proc.remove(key(pid));
    }
    assert_eq!(ends(&mut processes, 3), [10, 20, 30]);
}

/// A record may be lost of a process that was looked at a moment before: all are looked at again.
#[test]
fn after_a_loss_all_are_looked_at_at_once() {
    let proc = Proc::new();
    let mut processes = crowd(&proc, 1..=40);
    // In the midst of a round.
    assert_eq!(ends(&mut processes, 5), [0; 5]);
    for pid in 1..=40 {
        proc.remove(key(pid));
    }
    processes.doubt(7);
    // The rest of this round at a call, then those before.
    assert_eq!(ends(&mut processes, 2), [25, 40]);
    proc.add(key(50), "/srv/shop", "shop", "", "0::/\n");
    proc.add(key(51), "/srv/shop", "shop", "", "0::/\n");
    processes.service(key(50));
    processes.service(key(51));
    proc.remove(key(50));
    proc.remove(key(51));
    // Nothing was lost since: no haste.
    processes.doubt(7);
    assert_eq!(ends(&mut processes, 2), [41, 42]);
}
