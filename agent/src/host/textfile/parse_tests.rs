use proptest::prelude::*;

use super::*;

/// Series as the page shows them.
fn page(families: &[TextFamily]) -> String {
    let mut page = String::new();
    for family in families {
        if let Some(help) = &family.help {
            page += &format!("# HELP {} {}\n", family.name, help.replace('\\', "\\\\").replace('\n', "\\n"));
        }
        page += &format!("# TYPE {} {}\n", family.name, family.kind.word());
        for one in &family.series {
            page += &format!("{}{}{{{}}} {}\n", family.name, one.suffix, one.labels.rendered(), one.value);
        }
    }
    page
}

fn series(text: &str) -> Vec<String> {
    let page = page(&parse(text).unwrap_or_else(|fault| panic!("{text:?}: {fault}")));
    page.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

fn fault(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn families_have_their_help_and_type() {
    let text = "# HELP jobs_total Jobs\\nthat \\\\ran.\n# TYPE jobs_total counter\njobs_total{queue=\"a\"} 3\n\
                jobs_total{queue=\"b\"} 4.5e3\n\n# just a comment\n#\nfree_bytes 1\n# TYPE nothing gauge\n";
    let families = parse(text).unwrap();
    let found: Vec<_> =
        families.iter().map(|one| (one.name.as_str(), one.kind, one.help.as_deref(), one.line)).collect();
    assert_eq!(
        found,
        [("jobs_total", HostKind::Counter, Some("Jobs\nthat \\ran."), 1), ("free_bytes", HostKind::Untyped, None, 8),]
    );
    assert_eq!(series(text), ["jobs_total{queue=\"a\"} 3", "jobs_total{queue=\"b\"} 4500", "free_bytes{} 1"]);
}

#[test]
fn everything_the_format_allows_is_read() {
    let cases: [(&str, &[&str]); 16] = [
        ("", &[]),
        ("\n \n\t\n", &[]),
        ("a 1 \n", &["a{} 1"]),
        ("  a\t1\n", &["a{} 1"]),
        ("a {x=\"1\"} 1\n", &["a{x=\"1\"} 1"]),
        ("a{x=\"1\"}1\n", &["a{x=\"1\"} 1"]),
        ("a{ y = \"1\" , x=\"2\" , } 1\n", &["a{x=\"2\",y=\"1\"} 1"]),
        ("a{} 1\n", &["a{} 1"]),
        ("a{x=\"\"} 1\n", &["a{} 1"]),
        ("a:b_1 1\n", &["a:b_1{} 1"]),
        ("a{x=\"\\\\ \\\" \\n ü,}\"} 1\n", &["a{x=\"\\\\ \\\" \\n ü,}\"} 1"]),
        (
            "a NaN\nb +Inf\nc -Inf\nd -0\ne .5\nf 5.\n",
            &["a{} NaN", "b{} inf", "c{} -inf", "d{} -0", "e{} 0.5", "f{} 5"],
        ),
        ("#\tTYPE\ta\tGAUGE \na 1\n#  HELP  a   late\n", &["a{} 1"]),
        ("# TYPE a\n# HELP a\na 1\n", &["a{} 1"]),
        ("a{x=\"1\"} 1\nb 2\na{x=\"2\"} 3\n", &["a{x=\"1\"} 1", "a{x=\"2\"} 3", "b{} 2"]),
        ("x_sum 1\nx_count{le=\"1\",quantile=\"a\"} 2\n", &["x_sum{} 1", "x_count{le=\"1\",quantile=\"a\"} 2"]),
    ];
    for (text, wanted) in cases {
        assert_eq!(series(text), wanted, "{text:?}");
    }
}

#[test]
fn histograms_come_out_whole() {
    let text = "# TYPE h histogram\nh_bucket{le=\"5e6\",x=\"1\"} 4.0\nh_bucket{x=\"1\",le=\"0.00001\"} 2\nh_count{x=\"1\"} 9\n";
    let wanted = [
        "h_bucket{x=\"1\",le=\"1e-05\"} 2",
        "h_bucket{x=\"1\",le=\"5e+06\"} 4",
        "h_bucket{x=\"1\",le=\"+Inf\"} 9",
        "h_sum{x=\"1\"} 0",
        "h_count{x=\"1\"} 9",
    ];
    assert_eq!(series(text), wanted);
    let text = "# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"2\"} 7\n";
    let wanted =
        ["h_bucket{le=\"1\"} 3", "h_bucket{le=\"2\"} 7", "h_bucket{le=\"+Inf\"} 7", "h_sum{} 0", "h_count{} 7"];
    assert_eq!(series(text), wanted, "neither +Inf nor _count");
    let text = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 4\nh_sum 1.5\n";
    assert_eq!(series(text), ["h_bucket{le=\"+Inf\"} 4", "h_sum{} 1.5", "h_count{} 4"]);
}

#[test]
fn summaries_come_out_whole() {
    let text = "# TYPE s summary\ns{quantile=\"0.99\"} NaN\ns{quantile=\"0.5\"} 1\ns_count 3\ns_sum{x=\"1\"} 7\n";
    let wanted = [
        "s{quantile=\"0.5\"} 1",
        "s{quantile=\"0.99\"} NaN",
        "s_sum{} 0",
        "s_count{} 3",
        "s_sum{x=\"1\"} 7",
        "s_count{x=\"1\"} 0",
    ];
    assert_eq!(series(text), wanted);
}

#[test]
fn bounds_are_written_as_go_writes_them() {
    for (text, wanted) in [
        ("0.5", "0.5"),
        ("1", "1"),
        ("409600", "409600"),
        ("999999.5", "999999.5"),
        ("1000000", "1e+06"),
        ("1638400", "1.6384e+06"),
        ("1e21", "1e+21"),
        ("1e100", "1e+100"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("-3", "-3"),
        ("-Inf", "-Inf"),
    ] {
        let line = series(&format!("# TYPE h histogram\nh_bucket{{le=\"{text}\"}} 0\n"))[0].clone();
        assert_eq!(line, format!("h_bucket{{le=\"{wanted}\"}} 0"));
    }
}

#[test]
fn bad_lines_are_named() {
    for (text, wanted) in [
        ("a 1\nb 2", "line 2: the last line does not end"),
        ("a 1\n1a 2\n", "line 2: \"1a\" is no name of a metric"),
        ("{x=\"1\"} 1\n", "line 1: \"{x=\\\"1\\\"}\" is no name of a metric"),
        ("a-b 1\n", "\"a-b\" is no name of a metric"),
        ("# HELP 1x no\n", "\"1x\" is no name of a metric"),
        ("a{x:y=\"1\"} 1\n", "the labels are not closed, or a comma, = or quote is missing, at \"x:y"),
        ("a{1=\"1\"} 1\n", "is no name of a label"),
        ("a{,} 1\n", "is no name of a label"),
        ("a{x=\"1\",,y=\"2\"} 1\n", "is no name of a label"),
        ("a{x=\"1\" y=\"2\"} 1\n", "the labels are not closed"),
        ("a{x=\"1 1\n", "the labels are not closed"),
        ("a{x=1} 1\n", "the labels are not closed"),
        ("a{x=\"1\"\n", "the labels are not closed"),
        ("a{__name__=\"b\"} 1\n", "the label __name__ is reserved"),
        ("a{x=\"1\",x=\"\"} 1\n", "the label x is there twice"),
        ("a{x=\"\\t\"} 1\n", "\"\\\\t\" is no escape"),
        ("# HELP a \\\"\n", "is no escape"),
        ("# HELP a \\\n", "is no escape"),
        ("a\n", "\"\" is no number"),
        ("a{}\n", "\"\" is no number"),
        ("a 1\r\n", "\"1\\r\" is no number"),
        ("a 0x10\n", "\"0x10\" is no number"),
        ("a 1_0\n", "is no number"),
        ("a 1e999\n", "is no number"),
        ("a 1 1700000000000\n", "a timestamp (\"1700000000000\")"),
        ("a 1 # comment\n", "a timestamp"),
        ("# TYPE a info\n", "\"info\" is no type"),
        ("# TYPE a gauge\n# TYPE a gauge\n", "line 2: a second TYPE line for a"),
        ("a 1\n# TYPE a gauge\n", "line 2: a second TYPE line for a, or one after its first series"),
        ("# HELP a x\n# HELP a x\n", "line 2: a second HELP line for a"),
        ("vitald_up 1\n", "names that start with vitald_ are the agent's own"),
        ("process_x 1\n", "names that start with process_"),
        ("a{x=\"1\"} 1\na{x=\"1\"} 2\n", "line 2: the same series is there twice: a{x=\"1\"}"),
        ("a{x=\"\"} 1\na 2\n", "the same series is there twice: a{}"),
        (
            "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 1\n",
            "line 3: the same series is there twice",
        ),
        ("# TYPE h histogram\nh_sum 1\nh_sum 1\n", "the same series is there twice"),
        ("# TYPE h histogram\nh 1\n", "h is a histogram: it has only"),
        ("# TYPE h histogram\nh_bucket 1\n", "h_bucket has no label le with a number"),
        ("# TYPE h histogram\nh_bucket{le=\"x\"} 1\n", "h_bucket has no label le with a number"),
        ("# TYPE h histogram\nh_bucket{le=\"NaN\"} 1\n", "h_bucket has no label le with a number"),
        ("# TYPE h histogram\nh_count{le=\"1\"} 1\n", "h_count must not have the label le"),
        ("# TYPE h histogram\nh_count -1\n", "h_count counts, and -1 is no count"),
        ("# TYPE h histogram\nh_bucket{le=\"1\"} NaN\n", "h_bucket counts, and NaN is no count"),
        ("# TYPE s summary\ns 1\n", "s has no label quantile with a number"),
        (
            "h_sum 1\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\n",
            "h_sum means two things: it is a metric, and part of the histogram or summary h",
        ),
    ] {
        assert!(fault(text).contains(wanted), "{text:?}: {}", fault(text));
    }
}

#[test]
fn a_long_name_is_shortened_in_the_message() {
    assert!(fault(&format!("{} x\n", "ä".repeat(100_000))).len() < 300);
    assert!(fault(&format!("a {}\n", "1".repeat(100_000))).len() < 300);
}

fn text_value() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), Just(f64::INFINITY), (0..1000u32).prop_map(f64::from)]
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = parse(&text);
    }

    #[test]
    fn no_line_of_the_formats_letters_makes_it_panic(
        lines in proptest::collection::vec("(# (TYPE|HELP) )?[ah_{}=\",\\\\ n1.#e+]{0,20}( histogram| summary)?", 0..6),
    ) {
        let _ = parse(&(lines.join("\n") + "\n"));
    }

    #[test]
    fn what_comes_out_reads_as_the_same(
        values in proptest::collection::vec((".*", text_value()), 1..8),
        counts in proptest::collection::btree_map(0..1_000_000u32, 0..1000u32, 1..8),
        help in "[^\\s]\\PC*",
    ) {
        let labels = |text: &str| crate::model::host::Labels::new(&[("l", text)]).rendered().to_owned();
        let mut text = format!("# HELP a {}\n", help.replace('\\', "\\\\"));
        for (at, (label, value)) in values.iter().enumerate() {
            text += &format!("a{{n=\"{at}\",{}}} {value:?}\n", labels(label));
        }
        text += "# TYPE h histogram\n";
        for (bound, count) in &counts {
            text += &format!("h_bucket{{le=\"{bound}\"}} {count}\n");
        }
        let families = parse(&text).unwrap();
        prop_assert_eq!(families[0].help.as_deref(), Some(help.as_str()));
        let found: Vec<f64> = families[0].series.iter().map(|one| one.value).collect();
        prop_assert_eq!(found, values.iter().map(|(_, value)| *value).collect::<Vec<_>>());
        for (one, (label, _)) in families[0].series.iter().zip(&values) {
            let shown = one.labels.get("l").unwrap_or_default();
            prop_assert_eq!(&*shown, label.as_str());
        }
        prop_assert_eq!(families[1].series.len(), counts.len() + 3);

        let again = parse(&page(&families)).unwrap();
        prop_assert_eq!(page(&again), page(&families));
    }
}
