//! Cutting an article that is too long into parts that the model reads, at the ends of sentences
//! where it can be.

use sessile_models::tokenizer::TextTokenizer;

/// Tokens that a part is kept below the most: pieces beside each other may have a token more than
/// each by itself.
const MARGIN: usize = 8;

/// Parts of at most `most` tokens each, special ones included, in order. Nothing is left out but
/// white space around them.
pub(super) fn cut<'t>(tokenizer: &TextTokenizer, text: &'t str, most: usize) -> Vec<&'t str> {
    let count = |text: &str| tokenizer.encode(text).len();
    let special = count("");
    let room = most.saturating_sub(special + MARGIN).max(1);
    let mut parts = Vec::new();
    let (mut start, mut end, mut tokens) = (0, 0, 0);
    for piece in pieces(text, &|text| count(text) - special.min(count(text)) <= room) {
        let more = count(piece).saturating_sub(special);
        if tokens + more > room && end > start {
            parts.push(text[start..end].trim());
            (start, tokens) = (end, 0);
        }
        end += piece.len();
        tokens += more;
    }
    parts.push(text[start..end].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// Sentences that fit; of longer ones their words, of longer ones still their halves.
fn pieces<'t>(text: &'t str, fits: &impl Fn(&str) -> bool) -> Vec<&'t str> {
    let mut pieces = Vec::new();
    for sentence in sentences(text) {
        if fits(sentence) {
            pieces.push(sentence);
            continue;
        }
        for word in sentence.split_inclusive(char::is_whitespace) {
            halves(word, fits, &mut pieces);
        }
    }
    pieces
}

/// Sentences with the white space behind them.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut ended = false;
        let mut in_space = false;
        let end = rest.char_indices().find_map(|(at, character)| {
            let is_space = character.is_whitespace();
            if in_space && !is_space {
                return Some(at);
            }
            in_space = (is_space && (ended || in_space)) || character == '\n';
            ended = matches!(character, '.' | '!' | '?' | '。')
                || (ended && matches!(character, '"' | '\'' | ')' | '”' | '’'));
            None
        });
        let (sentence, left) = rest.split_at(end.unwrap_or(rest.len()));
        rest = left;
        Some(sentence)
    })
}

/// A word, or its halves where it does not fit.
fn halves<'t>(word: &'t str, fits: &impl Fn(&str) -> bool, pieces: &mut Vec<&'t str>) {
    let middle = word
        .char_indices()
        .map(|(at, _)| at)
        .find(|&at| at >= word.len() / 2 && at > 0);
    match middle {
        Some(middle) if !fits(word) => {
            let (first, second) = word.split_at(middle);
            halves(first, fits, pieces);
            halves(second, fits, pieces);
        }
        _ => pieces.push(word),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sessile_models::Model;

    use super::*;

    fn tokenizer() -> TextTokenizer {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/bart/tiny");
        Model::open(&path)
            .unwrap()
            .text_tokenizer()
            .unwrap()
            .clone()
    }

    #[test]
    fn parts_fit_and_hold_everything() {
        let tokenizer = tokenizer();
        let words = "The committee measured the crowded theatre in spring. Did it? ".repeat(40);
        let letters = "x".repeat(5000);
        let cases = [
            ("One. Two.", 100, Some(1)),
            (words.as_str(), 64, None),
            (letters.as_str(), 64, None),
            (&"añ 漢字 ".repeat(300), 40, None),
            ("", 64, Some(0)),
        ];
        for (text, most, expected) in cases {
            let parts = cut(&tokenizer, text, most);
            if let Some(expected) = expected {
                assert_eq!(parts.len(), expected, "{text:.20}");
            } else {
                assert!(parts.len() > 1, "{text:.20}");
            }
            for part in &parts {
                assert!(tokenizer.encode(part).len() <= most, "{part}");
            }
            let all = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(all(&parts.concat()), all(text));
        }
    }

    #[test]
    fn parts_end_with_sentences() {
        let text = "He said \"No.\" Then he left!  Why? No. 3 is 3.5 long\nA new line";
        let found: Vec<&str> = sentences(text).collect();
        let expected = [
            "He said \"No.\" ",
            "Then he left!  ",
            "Why? ",
            "No. ",
            "3 is 3.5 long\n",
            "A new line",
        ];
        assert_eq!(found, expected);
    }
}
