"""What a description of one request can not say: how its parts go together."""

import schemathesis


def is_number(value):
    return type(value) in (int, float)


# Tokens of the smallest model that is served here; which there are the description can not say.
VOCABULARY = 600
LONGEST = 16
BEAMS = 8
TOKENS = (
    "bad_words_ids",
    "begin_suppress_tokens",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "suppress_tokens",
)


def known(value):
    """The same with ids that the model has, where they are ids."""
    if isinstance(value, list):
        # A list in the list is of one token at least.
        return [known(item) for item in value if item != []]
    is_id = is_number(value) and value == int(value) and 0 <= value < 1 << 32
    return int(value) % VOCABULARY if is_id else value


@schemathesis.hook
def before_call(context, case, kwargs):
    """Lengths are given in one way, the fewest tokens not more than the most; who draws follows one hypothesis; one text is
    streamed at a time."""
    body = case.body
    if not isinstance(body, dict):
        return
    tokens = {name: known(body[name]) for name in TOKENS if name in body}
    body = {**body, **tokens}
    for end in ("min", "max"):
        if is_number(body.get(f"{end}_length")):
            body = {**body, f"{end}_new_tokens": None}
    # Nor how many hypotheses of which length the model and its lanes have room for.
    # What the description itself forbids stays as it is.
    for name, most, highest in (("num_beams", BEAMS, 64), ("max_length", LONGEST, 1_000_000)):
        value = body.get(name)
        if is_number(value) and most < value <= highest and value == int(value):
            body = {**body, name: most}
    if is_number(body.get("max_new_tokens")) and body["max_new_tokens"] > LONGEST:
        body = {**body, "max_new_tokens": LONGEST}
    least, most = body.get("min_new_tokens"), body.get("max_new_tokens")
    if is_number(least) and not (is_number(most) and least <= most):
        body = {**body, "min_new_tokens": None}
    least, most = body.get("min_length"), body.get("max_length")
    if is_number(least) and is_number(most) and least > most:
        body = {**body, "min_length": most, "max_length": least}
    elif is_number(least) and most is None:
        body = {**body, "min_length": None}
    if body.get("do_sample") is True and is_number(body.get("num_beams")):
        body = {**body, "num_beams": None}
    texts = body.get("input")
    if body.get("stream") is True and isinstance(texts, list) and len(texts) > 1:
        body = {**body, "input": texts[:1]}
    case.body = body
