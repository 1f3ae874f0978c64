use super::*;
use crate::collectors::node::noise::noise;
use crate::collectors::node::testing::Fixture;
use proptest::prelude::*;

fn one(text: &str) -> Array<'_> {
    let (mut arrays, wrong) = parse(text);
    assert_eq!(wrong, None, "{text}");
    assert_eq!(arrays.len(), 1, "{text}");
    arrays.remove(0)
}

const HEAD: &str = "Personalities : [raid1] [raid6] [raid5] [raid4] [raid0]\n";

#[test]
fn whole_and_degraded() {
    let text = format!(
        "{HEAD}md5 : active raid5 sdd1[3] sdc1[1] sdb1[0](F)\n      2096128 blocks super 1.2 level 5, 512k chunk, algorithm 2 [3/2] [_UU]\n      bitmap: 1/1 pages [4KB], 65536KB chunk\n\nunused devices: <none>\n"
    );
    let expected = Array {
        name: "md5",
        state: State::Active,
        active: 2,
        failed: 1,
        spare: 0,
        required: 3,
        blocks: 2096128,
        synced: 2096128,
    };
    assert_eq!(one(&text), expected);
    let inactive = one("md7 : inactive sdb[2](S) sdc[1](S)\n       5928 blocks super external:imsm\n");
    assert_eq!(
        (inactive.state, inactive.active, inactive.required, inactive.spare),
        (State::Inactive, 0, 0, 2)
    );
    let striped = one("md0 : active (read-only) raid0 sda1[0] sdb1[1]\n      4096 blocks super 1.2 512k chunks\n");
    assert_eq!((striped.state, striped.active, striped.required), (State::Active, 2, 2));
}

#[test]
fn what_it_does_at_the_moment() {
    let line = |more: &str| format!("md1 : active raid1 sda1[0] sdb1[1]\n      1000 blocks [2/2] [UU]\n{more}\n");
    let does = |more: &str| {
        let text = line(more);
        let array = one(&text);
        (array.state, array.synced)
    };
    assert_eq!(does(""), (State::Active, 1000));
    assert_eq!(
        does("      [>....]  recovery =  8.5% (85/1000) finish=1.0min speed=9K/sec"),
        (State::Recovering, 85)
    );
    assert_eq!(
        does("      [>....]  resync =  8.5% (85/1000) finish=1.0min"),
        (State::Resync, 85)
    );
    assert_eq!(
        does("      [>....]  check =  8.5% (85/1000) finish=1.0min"),
        (State::Check, 85)
    );
    assert_eq!(
        does("      [>....]  reshape =  8.5% (85/1000) finish=1.0min"),
        (State::Other, 85)
    );
    assert_eq!(does("      \tresync=DELAYED"), (State::Resync, 0));
    assert_eq!(
        does("      resync=PENDING\n      bitmap: 8/8 pages [32KB]"),
        (State::Resync, 0)
    );
    let text = line("      [>....]  resync = ?");
    let (arrays, wrong) = parse(&text);
    assert!(arrays.is_empty() && wrong.is_some_and(|what| what.starts_with("line 1: ")));
}

#[test]
fn broken_lines_are_told_and_the_rest_stays() {
    let good = "md1 : active raid1 sda1[0] sdb1[1]\n      1000 blocks [2/2] [UU]\n";
    for bad in [
        "md0 : active raid1 sda[0]\n",
        "md0 : active raid1 sda[0]\n      many blocks [1/1] [U]\n",
        "md0 : active raid1 sda[0]\n      10 blocks super 1.2\n",
        "md0 active\n",
        "\u{fffd}\n",
    ] {
        let text = format!("{HEAD}{bad}{good}");
        let (arrays, wrong) = parse(&text);
        assert_eq!(arrays.len(), 1, "{bad}");
        assert!(wrong.is_some_and(|what| what.starts_with("line 2: ")), "{bad}");
    }
}

#[test]
fn series() {
    let fixture = Fixture::new(&[
        (
            "proc/mdstat",
            "md1 : active raid1 sda1[0] sdb1[1]\n      1000 blocks [2/1] [U_]\n      resync=DELAYED\n",
        ),
        ("sys/block/md1/md/raid_disks", "4 (2)\n"),
        ("sys/block/md1/md/degraded", "1\n"),
        ("sys/block/md2/md/raid_disks", "3\n"),
        ("sys/block/mdx/size", "3\n"),
        ("sys/block/sda/size", "3\n"),
    ]);
    assert_eq!(
        fixture.text(&COLLECTOR),
        "node_md_state{device=\"md1\",state=\"active\"} 0\n\
         node_md_state{device=\"md1\",state=\"inactive\"} 0\n\
         node_md_state{device=\"md1\",state=\"recovering\"} 0\n\
         node_md_state{device=\"md1\",state=\"resync\"} 1\n\
         node_md_state{device=\"md1\",state=\"check\"} 0\n\
         node_md_disks{device=\"md1\",state=\"active\"} 1\n\
         node_md_disks{device=\"md1\",state=\"failed\"} 0\n\
         node_md_disks{device=\"md1\",state=\"spare\"} 0\n\
         node_md_disks_required{device=\"md1\"} 2\n\
         node_md_blocks{device=\"md1\"} 1000\n\
         node_md_blocks_synced{device=\"md1\"} 0\n\
         node_md_raid_disks{device=\"md1\"} 4\n\
         node_md_raid_disks{device=\"md2\"} 3\n\
         node_md_degraded{device=\"md1\"} 1\n\
         node_md_degraded{device=\"md2\"} 0\n"
    );
    fixture.put(&[("sys/block/md1/md/degraded", "some\n")]);
    let (text, result) = fixture.collect(&COLLECTOR);
    assert!(text.ends_with("node_md_degraded{device=\"md2\"} 0\n"), "{text}");
    assert!(
        result
            .unwrap_err()
            .to_string()
            .contains("degraded: \"some\": invalid digit")
    );
    assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    assert_eq!(
        Fixture::new(&[("proc/mdstat", "Personalities : \nunused devices: <none>\n")]).text(&COLLECTOR),
        ""
    );
}

proptest! {
    #[test]
    fn texts_of_all_sorts(
        text in noise(&["md0 : ", "active ", "raid0 ", "raid1 sda[0](F) ", "\n     ", "10 blocks ", "[2/1] ", "[", "]", "(",
            "/", ")", "resync = ", "recovery", "reshape", "=DELAYED", "bitmap: ", "Personalities", "unused"])
    ) {
        let (arrays, _) = parse(&text);
        prop_assert!(arrays.len() <= text.lines().count());
    }
}
