use std::path::Path;

use super::*;

/// A run of one record with `orfs` ORFs, a third of them annotated.
fn run(id: &str, orfs: usize, has_states: bool) -> String {
    let mut features = Vec::new();
    for number in 0..orfs {
        let entropy = 2.0 + (number % 97) as f64 / 50.0;
        let (states, of_states) = match has_states {
            true => (
                r#"{"length": 40, "model_name": "a <model>"}"#,
                format!("{}", entropy - 0.3),
            ),
            false => ("null", "null".to_owned()),
        };
        let (start, strand) = (1 + 3 * number, if number % 2 == 0 { "+" } else { "-" });
        features.push(format!(
            r#""orf<{number}>": {{"location": {{"start": {start}, "end": {}, "strand": "{strand}",
            "frame": 1}}, "dna": {{"length": 120}}, "protein": {{"length": {}}},
            "three_di": {states}, "metadata": {{"has_start_codon": true, "has_stop_codon": true,
            "in_genbank": {}}}, "entropy": {{"dna_entropy": 1.9, "protein_entropy": {entropy},
            "three_di_entropy": {of_states}}}}}"#,
            start + 119,
            40 + number,
            number % 3 == 0
        ));
    }
    format!(
        r#"[{{"schema_version": "2.2.0", "input_id": "{id}", "input_dna_length": {},
        "dna_entropy_global": 1.99, "features": {{{}}}}}]"#,
        3 * orfs + 200,
        features.join(",")
    )
}

fn page_of(folder: &Path, texts: &[String]) -> String {
    for (number, text) in texts.iter().enumerate() {
        std::fs::write(folder.join(format!("{number}.json")), text).unwrap();
    }
    let options = ReportOptions {
        inputs: vec![folder.to_owned()],
        is_annotated: None,
        output: folder.join("report.html"),
        force: true,
    };
    assert_eq!(write(&options, &mut (), &Interrupt::default()).unwrap(), 0);
    std::fs::read_to_string(&options.output).unwrap()
}

#[test]
fn a_page_needs_nothing_else_and_lets_no_text_through() {
    let folder = tempfile::tempdir().unwrap();
    let evil = "x</title><script>alert(1)</script>&";
    let page = page_of(folder.path(), &[run(evil, 30, true)]);
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    // Addresses that a browser would fetch.
    let page = page.replace("http://www.w3.org/2000/svg", "");
    for word in [
        "http:",
        "https:",
        "src=",
        "<link",
        "<img",
        "@import",
        "url(",
        "<script>alert",
    ] {
        assert!(!page.contains(word), "{word}");
    }
    assert_eq!(page.matches("<script>").count(), 1);
    assert!(page.contains("x&lt;/title&gt;&lt;script&gt;alert(1)"));
    assert!(page.contains("<td>orf&lt;29&gt;</td>") && page.contains("a &lt;model&gt;"));
    assert_eq!(page.matches("<svg ").count(), 3);
    assert!(page.contains("<b>10</b><span>In GenBank</span><small>33.3 % of ORFs</small>"));
}

#[test]
fn tables_are_bounded_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut texts = vec![run("long", 2500, false)];
    texts.extend((0..250).map(|record| run(&format!("r{record}"), 1, false)));
    let page = page_of(folder.path(), &texts);
    assert!(page.contains("The 2,000 longest of 2,750 ORFs"));
    assert!(page.contains("The first 200 of 251 records"));
    assert!(page.contains("The first 6 of 251 records are drawn along"));
    assert!(page.contains("DNA and protein entropy"));
    assert_eq!(page.matches("<tr><td>").count(), 2000 + 200 + 5);
    // Longest first.
    let first = page.find("orf&lt;2499&gt;").unwrap();
    assert!(first < page.find("orf&lt;2498&gt;").unwrap());
    assert!(!page.contains("orf&lt;5&gt;"));
    assert!(page.len() < 2_000_000, "{}", page.len());
}

#[test]
fn runs_without_orfs_have_a_page_too() {
    let folder = tempfile::tempdir().unwrap();
    let page = page_of(folder.path(), &[run("empty", 0, false), "[]".to_owned()]);
    assert!(page.contains("There is no ORF to draw") && page.contains("<td>empty</td>"));
}

#[test]
fn what_can_not_be_read_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.json"), "{").unwrap();
    let options = ReportOptions {
        inputs: vec![folder.path().to_owned()],
        is_annotated: None,
        output: folder.path().join("report.html"),
        force: false,
    };
    let error = write(&options, &mut (), &Interrupt::default()).unwrap_err();
    assert!(error.to_string().contains("a.json"), "{error}");
    std::fs::write(folder.path().join("b.json"), run("good", 3, false)).unwrap();
    assert_eq!(write(&options, &mut (), &Interrupt::default()).unwrap(), 1);
    let page = std::fs::read_to_string(&options.output).unwrap();
    assert!(page.contains("<span>Failed</span>"));
    let error = write(&options, &mut (), &Interrupt::default()).unwrap_err();
    assert_eq!(error.kind(), sessile_pipelines::PipelineErrorKind::Output);
}

/// A minus ORF that reaches over the end of its record, as open ends do, stays in the picture.
#[test]
fn minus_strands_are_drawn_from_the_left() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        run("r", 2, false).replace("\"start\": 4, \"end\": 123", "\"start\": 1, \"end\": 207");
    std::fs::write(folder.path().join("a.json"), text).unwrap();
    let files = [inputs::Input::File(folder.path().join("a.json"))];
    let wanted = Wanted {
        most: 1,
        ..Wanted::default()
    };
    let survey = Survey::of(&files, wanted, &mut (), &Interrupt::default()).unwrap();
    let orfs = survey.drawn[0].orfs.items();
    assert_eq!(survey.drawn[0].record.length, Some(206));
    assert_eq!((orfs[0].start, orfs[0].end), (1, 120));
    assert_eq!((orfs[1].start, orfs[1].end), (1, 206));
}

/// A run of FASTA marks no ORF, as there is no annotation: that is no share of 0 %.
#[test]
fn unknown_annotation_is_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let fasta = run("fasta", 30, true).replace("\"in_genbank\": true", "\"in_genbank\": false");
    let page = page_of(folder.path(), std::slice::from_ref(&fasta));
    assert!(
        page.contains("<b>unknown</b><span>In GenBank</span>"),
        "{page}"
    );
    assert!(page.contains("ORFs (30), annotation unknown"));
    assert!(page.contains("<th class=\"n\">all ORFs, annotation unknown</th>"));
    assert!(page.contains("share of the ORFs (%)"));
    for claim in [
        "0.0 %",
        "in GenBank (",
        "<td>no</td>",
        "<th class=\"n\">not in GenBank</th>",
    ] {
        assert!(!page.contains(claim), "{claim}");
    }
    // The record's row: its number of ORFs, then a dash.
    assert!(page.contains("<td class=\"n\">30</td><td class=\"n\">–</td>"));

    // Whoever knows that there was an annotation may say 0.
    let options = ReportOptions {
        inputs: vec![folder.path().join("0.json")],
        is_annotated: Some(true),
        output: folder.path().join("known.html"),
        force: false,
    };
    write(&options, &mut (), &Interrupt::default()).unwrap();
    let page = std::fs::read_to_string(&options.output).unwrap();
    assert!(page.contains("<b>0</b><span>In GenBank</span><small>0.0 % of ORFs</small>"));

    // Beside a file with marks, that file alone is unknown.
    std::fs::remove_file(folder.path().join("report.html")).unwrap();
    let page = page_of(folder.path(), &[fasta, run("genbank", 30, true)]);
    assert!(
        page.contains("<b>10</b><span>In GenBank</span><small>33.3 % of ORFs with a label</small>")
    );
    assert!(page.contains("<b>30</b><span>Without a label</span>"));
    assert!(page.contains("<td class=\"n\">30</td><td class=\"n\">–</td>"));
    assert!(page.contains("<td class=\"n\">30</td><td class=\"n\">10</td>"));
}

/// Schema 2.0 has zeros for entropies that were not computed, and no alphabets.
#[test]
fn skipped_entropies_are_no_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let text = run("r", 3, false)
        .replace("\"2.2.0\"", "\"2.0.0\"")
        .replace("\"features\"", "\"alphabet_sizes\": {}, \"features\"");
    std::fs::write(folder.path().join("a.json"), text).unwrap();
    let options = ReportOptions {
        inputs: vec![folder.path().join("a.json")],
        is_annotated: None,
        output: folder.path().join("report.html"),
        force: false,
    };
    assert_eq!(write(&options, &mut (), &Interrupt::default()).unwrap(), 3);
    let page = std::fs::read_to_string(&options.output).unwrap();
    assert!(
        page.contains("There is no ORF to draw") && !page.contains("1.990"),
        "{page}"
    );
}
