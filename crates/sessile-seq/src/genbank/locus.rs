//! The `LOCUS` line, which every program writes in its own way.
//!
//! ```text
//! LOCUS       JQ995537               97065 bp    DNA     circular ENV 31-JUL-2014   GenBank
//! LOCUS       NODE_1_length_191762_cov_13.663191762 bp   DNA linear                 Prokka
//! LOCUS       My Plasmid              2686 bp ds-DNA     circular SYN 01-JAN-2020   SnapGene
//! ```
//!
//! Three facts are read: the name, the number before `bp`, and whether the molecule is a circle.
//! Programs that write long names into columns 13 to 28 run the number into the name. How many of
//! the digits are the number is known once the sequence is read.

/// The words for a unit: bases, residues, and what Biopython reads as residues too.
const UNITS: [&str; 3] = ["bp", "aa", "rc"];

/// What a locus line says.
#[derive(Debug, Default)]
pub(super) struct Locus {
    /// The name, `_` for the blanks in it; with the length at its end when they run together.
    name: String,
    length: Option<usize>,
    runs_together: bool,
    pub(super) is_protein: bool,
    pub(super) circular: bool,
}

impl Locus {
    /// Reads what stands behind `LOCUS`.
    pub(super) fn parse(text: &str) -> Self {
        let words: Vec<&str> = text.split_whitespace().collect();
        let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
        let unit = (1..words.len()).find(|&at| {
            words[at - 1].ends_with(|last: char| last.is_ascii_digit())
                && UNITS.iter().any(|unit| is(words[at], unit))
        });
        let mut locus = Self {
            circular: words.iter().any(|word| is(word, "circular")),
            is_protein: unit.is_some_and(|at| is(words[at], "aa")),
            ..Self::default()
        };
        let Some(unit) = unit else {
            // `10bp` in one word, or no length at all.
            let glued = (1..words.len()).find_map(|at| {
                let number = words[at]
                    .strip_suffix("bp")
                    .or(words[at].strip_suffix("BP"))?;
                Some((at, parse_length(number)?))
            });
            locus.length = glued.map(|(_, length)| length);
            let name_words = glued.map_or(1, |(at, _)| at).min(words.len());
            locus.name = words[..name_words].join("_");
            return locus;
        };
        locus.length = match unit {
            1 => None,
            _ => parse_length(words[unit - 1]),
        };
        locus.runs_together = locus.length.is_none();
        let name_words = unit - usize::from(locus.length.is_some());
        locus.name = words[..name_words].join("_");
        locus
    }

    /// The name, without the length that ran into it.
    pub(super) fn name(&self, bases: usize) -> &str {
        match self.run_in(bases) {
            Some(name) => name,
            None => &self.name,
        }
    }

    /// The length it says; `bases` are those of the sequence.
    pub(super) fn length(&self, bases: usize) -> Option<usize> {
        self.length.or(self.run_in(bases).map(|_| bases))
    }

    /// The name before the number of bases, when they run together.
    fn run_in(&self, bases: usize) -> Option<&str> {
        let name = self.name.strip_suffix(&bases.to_string())?;
        (self.runs_together && !name.is_empty()).then_some(name)
    }
}

/// A number, with commas between thousands or without.
fn parse_length(word: &str) -> Option<usize> {
    let is_number = word
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b',');
    let digits = word.replace(',', "");
    is_number.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::Locus;

    /// The layouts of other programs, for a sequence of 675 bases. Names as Biopython 1.88 reads
    /// them; it refuses the lines that are marked.
    #[test]
    fn locus_lines_of_other_programs_give_name_and_length() {
        for (line, name, length, circular) in [
            (
                "JQ9 675 bp    DNA     circular ENV 31-JUL-2014",
                "JQ9",
                Some(675),
                true,
            ),
            ("JQ9 675 bp    DNA     linear", "JQ9", Some(675), false),
            ("JQ9 675 bp", "JQ9", Some(675), false),
            ("JQ9", "JQ9", None, false),
            ("", "", None, false),
            (
                "c_with_a_name_of_33_characters_01 675 bp DNA",
                "c_with_a_name_of_33_characters_01",
                Some(675),
                false,
            ),
            (
                "gnl|X|ABC_1            675 bp    DNA     linear",
                "gnl|X|ABC_1",
                Some(675),
                false,
            ),
            (
                "Exported 675 bp ds-DNA     circular SYN 01-JAN-2020",
                "Exported",
                Some(675),
                true,
            ),
            (
                "c00001_NODE_1_.. 675 bp DNA linear UNK 01-JAN-1980",
                "c00001_NODE_1_..",
                Some(675),
                false,
            ),
            ("2024_675 675 bp DNA", "2024_675", Some(675), false),
            // Refused by Biopython: name and length in one, blanks in names, other units.
            (
                "NODE_1_cov_13.6631675 bp   DNA linear",
                "NODE_1_cov_13.6631",
                Some(675),
                false,
            ),
            (
                "NODE_1_cov_13.663110 bp   DNA linear",
                "NODE_1_cov_13.663110",
                None,
                false,
            ),
            ("1675 bp DNA", "1", Some(675), false),
            ("675 bp DNA", "675", None, false),
            (
                "My Plasmid 675 bp ds-DNA circular",
                "My_Plasmid",
                Some(675),
                true,
            ),
            (
                "My Plasmid_2675 bp ds-DNA",
                "My_Plasmid_2",
                Some(675),
                false,
            ),
            ("JQ9 1,675 bp DNA", "JQ9", Some(1675), false),
            ("JQ9 675 BP DNA CIRCULAR", "JQ9", Some(675), true),
            ("JQ9 675bp DNA", "JQ9", Some(675), false),
        ] {
            let locus = Locus::parse(line);
            let found = (locus.name(675), locus.length(675), locus.circular);
            assert_eq!(found, (name, length, circular), "{line}");
        }
    }
}
