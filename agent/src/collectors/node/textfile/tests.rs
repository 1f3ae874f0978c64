use super::*;
use crate::collectors::node::testing::Fixture;

/// A host with a folder of such files.
fn fixture(files: &[(&str, &str)]) -> Fixture {
    let fixture = Fixture::new(files);
    let folder = fixture.host().root.join("t");
    fixture.set(DIRECTORY.name, folder.to_str().unwrap())
}

/// What is told of files, without their times.
fn told(fixture: &Fixture) -> String {
    let text = fixture.text(&COLLECTOR);
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("node_textfile_mtime_seconds"));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn files_of_a_folder() {
    let fixture = fixture(&[
        ("root/t/a.prom", "# TYPE a counter\na{x=\"1\"} 1\n"),
        ("root/t/b.prom", "b 2\nb{y=\"1\"} 3\n"),
        ("root/t/other.txt", "what"),
    ]);
    let expect = "node_textfile_scrape_error 0\na{x=\"1\"} 1\nb{y=\"\"} 2\nb{y=\"1\"} 3\n";
    assert_eq!(told(&fixture), expect);
    let text = fixture.text(&COLLECTOR);
    let path = fixture.host().root.join("t/a.prom");
    let mtime = path.metadata().unwrap().mtime() as f64;
    let line = text.lines().next().unwrap();
    assert!(
        line.starts_with(&format!("node_textfile_mtime_seconds{{file=\"{}\"}} ", path.display())),
        "{line}"
    );
    assert_eq!(line.rsplit(' ').next().unwrap().parse(), Ok(mtime));
}

#[test]
fn nothing_set_is_no_error_and_no_folder_is_one() {
    assert_eq!(Fixture::new(&[]).text(&COLLECTOR), "node_textfile_scrape_error 0\n");
    assert_eq!(told(&fixture(&[("root/", "")])), "node_textfile_scrape_error 1\n");
    assert_eq!(told(&fixture(&[("root/t/", "")])), "node_textfile_scrape_error 0\n");
}

#[test]
fn several_folders_by_pattern() {
    let fixture = Fixture::new(&[
        ("root/t1/a.prom", "a 1\n"),
        ("root/t2/b.prom", "b 2\n"),
        ("root/u/c.prom", "c 3\n"),
    ]);
    let root = fixture.host().root.display().to_string();
    let fixture = fixture
        .set(DIRECTORY.name, &format!("{root}/t*"))
        .set(DIRECTORY.name, &format!("{root}//u/."));
    assert_eq!(told(&fixture), "node_textfile_scrape_error 0\na 1\nb 2\nc 3\n");
    assert!(fixture.text(&COLLECTOR).contains(&format!("file=\"{root}/u/c.prom\"")));
}

#[test]
fn a_bad_line_costs_itself_or_when_strict_its_file() {
    let files = [
        ("root/t/a.prom", "a 1\nb x\nc 3\n"),
        ("root/t/b.prom", "d 4\ne 5 1441205977284\n"),
    ];
    assert_eq!(told(&fixture(&files)), "node_textfile_scrape_error 1\na 1\nc 3\nd 4\n");
    let strict = fixture(&files).set(STRICT.name, "true");
    assert_eq!(strict.text(&COLLECTOR), "node_textfile_scrape_error 1\n");
    let good = fixture(&[("root/t/a.prom", "a 1\n")]).set(STRICT.name, "true");
    assert_eq!(told(&good), "node_textfile_scrape_error 0\na 1\n");
}

#[test]
fn the_log_names_file_and_line_once() {
    let fixture = fixture(&[("root/t/a.prom", "a 1\nb x\nc\n")]);
    let host = fixture.host();
    let mut settings = crate::collectors::node::flags::Settings::default();
    settings
        .given
        .insert(DIRECTORY.name, vec![host.root.join("t").display().to_string()]);
    let mut made = TextFile::new(&Setup {
        host: &host,
        settings: &settings,
    });
    made.collect(&mut crate::metric::Tape::default()).unwrap();
    let (file, what) = made.told.first_key_value().unwrap();
    assert!(file.ends_with("/t/a.prom"));
    assert_eq!(what, "line 2: \"x\" is no number; 1 more bad lines");
}

#[test]
fn files_that_share_a_family_are_merged() {
    let a = "# HELP e What.\n# TYPE e counter\ne{f=\"a\"} 1\n";
    let b = "# TYPE e counter\ne{f=\"b\"} 2\n";
    let merged = "e{f=\"a\"} 1\ne{f=\"b\"} 2\n";
    assert_eq!(
        told(&fixture(&[("root/t/a.prom", a), ("root/t/b.prom", b)])),
        format!("node_textfile_scrape_error 0\n{merged}")
    );
    assert_eq!(
        told(&fixture(&[("root/t/a.prom", b), ("root/t/b.prom", a)]))
            .lines()
            .count(),
        3
    );
    let help = b.replace("# TYPE", "# HELP e Else.\n# TYPE");
    for other in [help, b.replace("counter", "gauge")] {
        let fixture = fixture(&[("root/t/a.prom", a), ("root/t/b.prom", &other)]);
        assert_eq!(
            told(&fixture),
            "node_textfile_scrape_error 1\ne{f=\"a\"} 1\n",
            "{other}"
        );
    }
}

#[test]
fn summaries_and_histograms() {
    let text = "# TYPE s summary\ns{quantile=\"0.5\"} 4\ns_sum 9\ns_count 2\n\
        # TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_sum 7\nh_count 3\n";
    let told = told(&fixture(&[("root/t/a.prom", text)]));
    let lines: String = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(told, format!("node_textfile_scrape_error 0\n{lines}"));
}

#[test]
fn what_is_no_file_or_too_large_is_an_error() {
    let fixture = fixture(&[
        ("root/t/folder.prom/", ""),
        ("root/t/dangling.prom", "-> nowhere"),
        ("root/t/z.prom", "z 1\n"),
    ]);
    let large = "#".repeat(FILE as usize + 1);
    fixture.put(&[("root/t/large.prom", &large)]);
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        fixture.host().root.join("t/pipe.prom"),
        rustix::fs::Mode::RUSR,
    )
    .unwrap();
    assert_eq!(told(&fixture), "node_textfile_scrape_error 1\nz 1\n");
}
