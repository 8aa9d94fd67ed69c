"""The authoritative side's message handling: a query in, a response out."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from lab.dns.answers import Answerer


class Authority:
    """Turns questions into authoritative responses."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer

    def respond(self, query: dns.message.Message) -> dns.message.Message:
        """The response to a query with exactly one question. ANY is refused as not implemented."""
        question = query.question[0]
        response = dns.message.make_response(query)
        if question.rdclass != dns.rdataclass.IN:
            response.set_rcode(dns.rcode.REFUSED)
            return response
        if question.rdtype == dns.rdatatype.ANY:
            response.set_rcode(dns.rcode.NOTIMP)
            return response
        found = self._answerer.answer(question.name.to_text(), dns.rdatatype.to_text(question.rdtype))
        response.set_rcode(found.rcode)
        response.answer.extend(found.answer)
        response.authority.extend(found.authority)
        if found.authoritative:
            response.flags |= dns.flags.AA
        return response
