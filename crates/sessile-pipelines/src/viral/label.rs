//! The names of frames: `CONTIG_chunk_NUMBER` and `F1` to `R3`.

/// What the name of a frame says.
///
/// # Examples
///
/// ```
/// use sessile_pipelines::viral::FrameLabel;
///
/// let label = FrameLabel::parse("virus|1_chunk_12R3");
/// assert_eq!((label.chunk_id, label.frame), ("virus|1_chunk_12", "R3"));
/// assert_eq!((label.contig, label.chunk), ("virus|1", Some(12)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLabel<'a> {
    /// The name without its last two characters, as the original groups frames.
    pub chunk_id: &'a str,
    /// The frame: the last two characters.
    pub frame: &'a str,
    /// What stands before the last `_chunk_`; all of `chunk_id` where there is none.
    pub contig: &'a str,
    /// The number of the chunk in its contig, from 1.
    pub chunk: Option<usize>,
}

impl<'a> FrameLabel<'a> {
    /// Takes a name apart. Any text has an answer: a name of one character is all frame.
    pub fn parse(id: &'a str) -> Self {
        let start = id.char_indices().rev().nth(1).map_or(0, |(start, _)| start);
        let (chunk_id, frame) = id.split_at(start);
        let numbered = chunk_id
            .rsplit_once("_chunk_")
            .and_then(|(contig, number)| Some((contig, number.parse().ok()?)));
        match numbered {
            Some((contig, number)) => FrameLabel {
                chunk_id,
                frame,
                contig,
                chunk: Some(number),
            },
            None => FrameLabel {
                chunk_id,
                frame,
                contig: chunk_id,
                chunk: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_taken_apart() {
        let cases = [
            ("", ("", "", "", None)),
            ("F", ("", "F", "", None)),
            ("é1", ("", "é1", "", None)),
            ("aF1", ("a", "F1", "a", None)),
            ("a_chunk_xF1", ("a_chunk_x", "F1", "a_chunk_x", None)),
            (
                "a_chunk_1_chunk_2R1",
                ("a_chunk_1_chunk_2", "R1", "a_chunk_1", Some(2)),
            ),
        ];
        for (id, expected) in cases {
            let label = FrameLabel::parse(id);
            let found = (label.chunk_id, label.frame, label.contig, label.chunk);
            assert_eq!(found, expected, "{id}");
        }
    }
}
