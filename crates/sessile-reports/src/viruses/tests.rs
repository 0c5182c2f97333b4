use std::path::Path;

use super::*;
use sessile_pipelines::output::Format;
use sessile_pipelines::viral::results::{FrameScore, Results};

fn options(results: &Path, output: &Path) -> PlotOptions {
    PlotOptions {
        results: results.to_owned(),
        contigs_fasta: Vec::new(),
        contigs: Vec::new(),
        most: 5,
        chunk: NonZeroUsize::new(500).unwrap(),
        output: output.to_owned(),
        force: true,
    }
}

/// Where a base of a contig of this length lies in the picture.
fn at(base: f64, length: f64) -> String {
    format!("{:.1}", LEFT + (WIDTH - LEFT - RIGHT) * base / length)
}

/// 1,745 bases are four chunks of 500 that overlap: 1..500, 437..936, 873..1372, 1309..1745. No
/// frame of the last one is open.
const LENGTH: u64 = 1745;
const PLACES: [(u64, u64); 3] = [(1, 500), (437, 936), (873, 1372)];

fn check_positions(svg: &str) {
    for (start, end) in PLACES {
        let from = at(start as f64 - 1.0, LENGTH as f64);
        let to = at(end as f64, LENGTH as f64);
        let is_drawn = svg.lines().any(|line| {
            line.contains("stroke-width=\"2\"")
                && line.contains(&format!("M{from} "))
                && line.contains(&format!("H{to}"))
        });
        assert!(is_drawn, "{start}..{end}: {svg}");
    }
    assert!(svg.contains("NC_007026.1 · 1,745 bases"), "{svg}");
    assert!(svg.contains("position (bases)"), "{svg}");
}

#[test]
fn chunks_are_drawn_at_their_real_bases() {
    for format in ["tsv", "csv", "parquet"].map(|name| name.parse::<Format>().unwrap()) {
        let folder = tempfile::tempdir().unwrap();
        let mut results = Results::create(folder.path(), format, false).unwrap();
        for (number, (start, end)) in (1..).zip(PLACES) {
            let frame = FrameScore {
                id: &format!("NC_007026.1_chunk_{number}F1"),
                scores: [0.1, 0.9],
                place: Some(ChunkPlace {
                    start,
                    end,
                    contig_length: LENGTH,
                }),
            };
            results.write(frame).unwrap();
        }
        results.finish().unwrap();
        let output = folder.path().join("p.svg");
        for results in [folder.path().to_owned(), folder.path().join(FRAME_RESULTS)] {
            let plotted = run(&options(&results, &output)).unwrap();
            assert_eq!((plotted.contigs, plotted.by_number), (1, 0));
            check_positions(&std::fs::read_to_string(&output).unwrap());
        }
    }
}

const ORIGINAL: &str = "Sequence_ID\tPrediction\tscore1\tscore2\n\
    NC_007026.1_chunk_1F1\tvirus\t0.1\t0.9\nNC_007026.1_chunk_2R3\tvirus\t0.2\t0.8\n\
    NC_007026.1_chunk_3F1\tvirus\t0.1\t0.9\n";

#[test]
fn the_original_s_results_are_placed_by_the_contigs_fasta() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FRAME_RESULTS), ORIGINAL).unwrap();
    let output = folder.path().join("p.svg");
    let mut options = options(folder.path(), &output);
    let plotted = run(&options).unwrap();
    assert_eq!((plotted.contigs, plotted.by_number), (1, 1));
    let svg = std::fs::read_to_string(&output).unwrap();
    assert!(
        svg.contains("number of the chunk") && !svg.contains("bases"),
        "{svg}"
    );

    let fasta = folder.path().join("c.fa");
    let sequence = "ACGTA".repeat(349);
    std::fs::write(
        &fasta,
        format!(">other\nACGT\n>NC_007026.1 x\n{sequence}\n"),
    )
    .unwrap();
    options.contigs_fasta = vec![fasta.clone()];
    assert_eq!(run(&options).unwrap().by_number, 0);
    check_positions(&std::fs::read_to_string(&output).unwrap());

    options.chunk = NonZeroUsize::new(1000).unwrap();
    let error = run(&options).unwrap_err().to_string();
    assert!(error.contains("no chunk 3 of 1000 bases"), "{error}");
    std::fs::write(&fasta, ">other\nACGT\n").unwrap();
    let error = run(&options).unwrap_err().to_string();
    assert!(error.contains("no contig NC_007026.1"), "{error}");
}

#[test]
fn contigs_are_drawn_with_their_frames() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join(FRAME_RESULTS);
    let text = "Sequence_ID\tPrediction\tscore1\tscore2\na<1>_chunk_1F1\tvirus\t0.1\t0.9\n\
                a<1>_chunk_2R3\tothers\t0.8\t0.2\nb_chunk_1F1\tvirus\t0.3\t0.7\n";
    std::fs::write(&results, text).unwrap();
    let output = folder.path().join("p.svg");
    let mut options = options(folder.path(), &output);
    assert_eq!(run(&options).unwrap().contigs, 2);
    let svg = std::fs::read_to_string(&output).unwrap();
    assert!(svg.contains(">a&lt;1&gt;</text>") && svg.contains(">b</text>"));
    let lines = |colour: Colour| {
        let stroke = format!("stroke=\"{colour}\" stroke-width=\"2\"");
        svg.lines().filter(|line| line.contains(&stroke)).count()
    };
    assert_eq!((lines(Colour::YES), lines(Colour::NO)), (2, 1));
    // The first chunk of two takes the left half, near the top.
    assert!(svg.contains("M70.0 95.6H522.5"), "{svg}");
    options.output = folder.path().join("p.png");
    assert_eq!(run(&options).unwrap().contigs, 2);
    let png = std::fs::read(&options.output).unwrap();
    assert!(png.starts_with(b"\x89PNG") && png.len() > 5000);
    options.output = folder.path().join("p.pdf");
    assert_eq!(run(&options).unwrap_err().kind(), PipelineErrorKind::Usage);
    options.output = output;
    options.contigs = vec!["b".to_owned()];
    assert_eq!(run(&options).unwrap().contigs, 1);
    options.contigs = vec!["c".to_owned()];
    assert_eq!(run(&options).unwrap_err().kind(), PipelineErrorKind::Input);
    std::fs::write(&results, "text\n").unwrap();
    assert!(run(&options).unwrap_err().to_string().contains("line 1"));
}
