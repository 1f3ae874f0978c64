use super::*;
use proptest::prelude::*;

/// A file's series in words, and the line that is bad.
fn said(text: &str) -> (Vec<String>, Option<usize>) {
    let parsed = parse(text.as_bytes());
    let mut words = Vec::new();
    for family in &parsed.families {
        for series in &family.series {
            let labels = &parsed.labels[series.labels.clone()];
            let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let value = match &series.value {
                Held::Number(value) => value.to_string(),
                Held::Summary(whole) | Held::Histogram(whole) => {
                    format!("{:?} {} {:?}", whole.points, whole.sum, whole.count)
                }
            };
            words.push(format!("{} {} {value}", family.name, labels.join(",")));
        }
    }
    (words, parsed.bad.map(|(line, _)| line))
}

/// What is wrong with a line.
fn wrong(line: &str) -> String {
    let text = format!("good 1\n{line}\ngood2 2\n");
    let parsed = parse(text.as_bytes());
    assert_eq!(parsed.families.len(), 2, "{line}: {:?}", parsed.families);
    assert_eq!(parsed.bad_lines, 1, "{line}");
    let (number, what) = parsed.bad.unwrap();
    assert_eq!(number, 2);
    what
}

#[test]
fn samples() {
    let text =
        "a 1\n\n  b\t2\n# a comment\n#\nc{x=\"1\"}3\nd { x = \"\\\\\\n\\\"é\" , y=\"\" , } +Inf\ne{} -1.5e3\n:f NaN\n";
    let expect = ["a  1", "b  2", "c x=1 3", "d x=\\\n\"é,y= inf", "e  -1500", ":f  NaN"];
    assert_eq!(said(text), (expect.map(str::to_owned).to_vec(), None));
    assert_eq!(said(""), (vec![], None));
    assert_eq!(
        said("\"a\" 1\n{\"b\",x=\"1\"} 2\n{y=\"1\",c} 3\nd{\"x\"=\"1\"} 4\n").0,
        ["a  1", "b x=1 2", "c y=1 3", "d x=1 4"]
    );
}

#[test]
fn bad_lines_are_left_out_alone() {
    for (line, what) in [
        (
            "a 1 1441205977284",
            "\"1441205977284\" behind its value: time stamps are not allowed",
        ),
        ("a 1 ", "a blank behind its value"),
        ("a", "\"\" is no number"),
        ("a x", "\"x\" is no number"),
        ("a 1_000", "is no number"),
        ("a 0x1p3", "is no number"),
        ("a 1e999", "is no number"),
        ("a -NaN", "is no number"),
        ("a 1\r", "is no number"),
        ("9a 1", "names no metric|no name|is no number"),
        ("ä 1", "is no number|no name"),
        ("a{ 1", "no = behind|no name|no ="),
        ("a{x=\"1\" 1", "neither , nor }"),
        ("a{x=\"1} 1", "a quote is not closed"),
        ("a{x=1} 1", "the value of the label x is not quoted"),
        ("a{x} 1", "no = behind the label x"),
        ("a{x=\"\\t\"} 1", "there is no escape \\t"),
        ("a{x=\"1\",x=\"2\"} 1", "it has the label x twice"),
        ("a{__name__=\"b\"} 1", "\"__name__\" is no name of a label"),
        ("a{,} 1", "a label has no name"),
        ("{x=\"1\"} 1", "it names no metric"),
        ("{} 1", "it names no metric"),
        ("{\"a b\"} 1", "\"a b\" is no name of a metric"),
        ("# TYPE good gauge", "a second TYPE of good, or one behind its series"),
        ("# TYPE b info", "\"info\" is no type"),
        ("# TYPE b counter ", "is no type"),
        ("# HELP 9 x", "\"9\" is no name of a metric"),
        ("# TYPE {", "TYPE names no metric"),
        ("\r", "no name|is no number"),
        ("# HELP a \\x", "there is no escape \\x"),
    ] {
        let told = wrong(line);
        assert!(what.split('|').any(|what| told.contains(what)), "{line}: {told}");
    }
    let many: String = (0..=LABELS).map(|n| format!("l{n}=\"\",")).collect();
    assert!(wrong(&format!("a{{{many}}} 1")).contains("more than 64 labels"));
}

#[test]
fn a_line_that_does_not_end_is_left_out() {
    assert_eq!(said("a 1\nb 12"), (vec!["a  1".to_owned()], Some(2)));
    assert_eq!(said("a 1\n# HELP b"), (vec!["a  1".to_owned()], Some(2)));
    assert_eq!(said("a 1\n \t"), (vec!["a  1".to_owned()], None));
    let parsed = parse(b"a 1\n\xff 2\n# \xff\n");
    assert_eq!(
        (parsed.bad_lines, parsed.bad.unwrap().1.as_str()),
        (1, "it is no UTF-8")
    );
}

#[test]
fn help_and_type_belong_to_their_family() {
    let text = "# HELP a What\\nit is.\n# TYPE a counter\na 1\n#HELP b\n# TYPE  b  GAUGE\nb 2\n# HELP c \n# TYPE c\nc 3\n# HELPER d e\n# HELP e x\n";
    let parsed = parse(text.as_bytes());
    assert_eq!(parsed.bad, None);
    let told: Vec<_> = parsed
        .families
        .iter()
        .map(|family| (&*family.name, family.help.as_deref(), family.kind))
        .collect();
    let expect = [
        ("a", Some("What\nit is."), Some(Kind::Counter)),
        ("b", None, None),
        ("c", None, Some(Kind::Unknown)),
    ];
    assert_eq!(told[0], expect[0]);
    assert_eq!(told[2], expect[2]);
    assert_eq!(told.len(), 3);
    let twice = parse(b"# HELP x a\n# HELP x b\n");
    assert_eq!(twice.bad, Some((2, "a second HELP of x".to_owned())));
}

#[test]
fn summaries_are_put_together() {
    let text = "# TYPE s summary\ns{x=\"1\",quantile=\"0.9\"} 9\ns{quantile=\"0.5\",x=\"1\"} 5\ns_sum{x=\"1\"} 3\ns_count{x=\"1\"} 2\n\
        s{x=\"2\"} 7\ns_bucket 1\n";
    let expect = [
        "s x=1 [(0.5, 5.0), (0.9, 9.0)] 3 Some(2.0)",
        "s x=2 [] 0 None",
        "s_bucket  1",
    ];
    assert_eq!(said(text), (expect.map(str::to_owned).to_vec(), None));
    assert_eq!(said("# TYPE s summary\ns{quantile=\"x\"} 1\n").1, Some(2));
}

#[test]
fn histograms_are_put_together() {
    let text = "# TYPE h histogram\nh_bucket{le=\"5\",x=\"1\"} 3\nh_bucket{x=\"1\",le=\"1\"} 1\nh_bucket{le=\"+Inf\",x=\"1\"} 4\n\
        h_sum{x=\"1\"} 9.5\nh_count{x=\"1\"} 4\n";
    let expect = "h x=1 [(1.0, 1.0), (5.0, 2.0), (inf, 1.0)] 9.5 Some(4.0)";
    assert_eq!(said(text), (vec![expect.to_owned()], None));
    let short = "# TYPE h histogram\nh_bucket{le=\"5\"} 3\nh_bucket{le=\"5\"} 4\nh_count 6\n";
    assert_eq!(
        said(short).0,
        ["h  [(5.0, 4.0), (inf, 2.0)] 0 Some(6.0)"],
        "the last of a bound counts"
    );
    let down = "# TYPE h histogram\na 1\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"2\"} 2\n";
    assert_eq!(said(down), (vec!["a  1".to_owned()], Some(3)));
    for bad in [
        "h_count 1.5",
        "h_count -1",
        "h_bucket{le=\"1\"} Inf",
        "h_bucket{le=\"x\"} 1",
    ] {
        assert_eq!(said(&format!("# TYPE h histogram\n{bad}\n")).1, Some(2), "{bad}");
    }
}

#[test]
fn numbers_are_as_go_reads_them() {
    for good in [
        "1",
        "+1",
        "-1",
        "1.",
        ".5",
        "1e5",
        "1E-5",
        "NaN",
        "nan",
        "Inf",
        "-inf",
        "+Infinity",
    ] {
        assert!(number(good).is_some(), "{good}");
    }
    for bad in [
        "", "+", "e5", "+nan", "--1", "1e", "1e400", "0x10", "1_0", "infinit", "1 ",
    ] {
        assert!(number(bad).is_none(), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
        parse(&text);
    }

    /// Texts of the format's own pieces, which reach further than any bytes do.
    #[test]
    fn no_text_of_its_pieces_is_a_panic(pieces in prop::collection::vec(prop::sample::select(vec![
        "# HELP ", "# TYPE ", "#", " histogram", " summary", " counter", "a", "a_bucket", "a_sum", "a_count", "{", "}", "=", ",",
        "\"", "\"1\"", "le", "quantile", "\\", "\\n", " ", "\t", "\n", "\n", "1", "-", ".5", "e9", "NaN", "+Inf", "é", "__name__",
    ]), 0..60)) {
        let text = pieces.concat();
        let parsed = parse(text.as_bytes());
        for family in &parsed.families {
            prop_assert!(!family.series.is_empty() && family.kind.is_some());
            for series in &family.series {
                prop_assert!(parsed.labels.get(series.labels.clone()).is_some());
                if let Held::Histogram(whole) = &series.value {
                    prop_assert_eq!(whole.points.last().unwrap().0, f64::INFINITY);
                    prop_assert!(whole.points.is_sorted_by(|a, b| a.0 < b.0));
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_read(name in "[a-z_:][a-z0-9_:]{0,8}", value: String, number: f64) {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let text = format!("{name}{{l=\"{escaped}\"}} {number:?}\n");
        let parsed = parse(text.as_bytes());
        prop_assert_eq!(&parsed.bad, &None);
        prop_assert_eq!(&*parsed.labels[0].1, value.as_str());
        match &parsed.families[0].series[0].value {
            Held::Number(read) => prop_assert!(read.to_bits() == number.to_bits() || number.is_nan()),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
