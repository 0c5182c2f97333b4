"""What a description of one request can not say: how its parts go together."""

import schemathesis


def is_number(value):
    return type(value) in (int, float)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Lengths are given in one way, the fewest tokens not more than the most; who draws follows one hypothesis; one text is
    streamed at a time."""
    body = case.body
    if not isinstance(body, dict):
        return
    for end in ("min", "max"):
        if is_number(body.get(f"{end}_length")):
            body = {**body, f"{end}_new_tokens": None}
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
