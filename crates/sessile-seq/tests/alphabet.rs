//! Which letters belong to which alphabet.

use sessile_seq::ErrorKind;
use sessile_seq::alphabet::Alphabet;
use sessile_seq::fasta::Reader;

#[test]
fn finds_the_first_symbol_that_does_not_belong() {
    type Case = (Alphabet, &'static str, Option<(char, usize)>);
    let cases: [Case; 13] = [
        (Alphabet::DNA, "", None),
        (Alphabet::DNA, "ACGTacgt", None),
        (Alphabet::DNA, "ACGU", Some(('U', 3))),
        (Alphabet::DNA, "ACGN", Some(('N', 3))),
        (Alphabet::DNA_IUPAC, "ACGTRYSWKMBDHVNn", None),
        (Alphabet::DNA_IUPAC, "ACG-T", Some(('-', 3))),
        (Alphabet::NUCLEIC_IUPAC, "ACGUN", None),
        (Alphabet::PROTEIN, "ACDEFGHIKLMNPQRSTVWY", None),
        (Alphabet::PROTEIN, "MKX", Some(('X', 2))),
        (Alphabet::PROTEIN_IUPAC, "MKXBZJUOmk", None),
        (Alphabet::PROTEIN_IUPAC, "MK*", Some(('*', 2))),
        (Alphabet::TRANSLATION, "MK*", None),
        (Alphabet::TRANSLATION, "M1K", Some(('1', 1))),
    ];
    for (alphabet, sequence, expected) in cases {
        let found = alphabet.check(sequence.as_bytes()).err();
        let found = found.map(|found| (char::from(found.symbol), found.position));
        assert_eq!(found, expected, "{alphabet:?} {sequence}");
    }
}

#[test]
fn the_error_of_a_record_names_its_place() {
    let text = b">a\nACGT\n>b\nMKT\n";
    let record = Reader::new(&text[..]).nth(1).unwrap().unwrap();
    let found = Alphabet::DNA_IUPAC.check(b"MKTE").unwrap_err();
    let error = found.in_record(&record, "x.fa");
    assert_eq!(error.kind(), ErrorKind::UnexpectedSymbol);
    assert!(error.is_record_error());
    assert_eq!(
        error.to_string(),
        "x.fa: record 2 (b), line 3: 'E' at position 4 is not an IUPAC code of DNA"
    );
}
