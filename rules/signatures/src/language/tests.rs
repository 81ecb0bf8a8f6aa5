use super::*;
use crate::error::SetError;
use crate::rule::{
    Arithmetic, BitChange, BitMode, BitOwner, JumpFrom, Notation, Operator, Place, RateKind,
    StreamSide, Track,
};

fn read(options: &str) -> Result<Rule, RuleError> {
    let variables = Variables::default();
    Reader::new(&variables).read(&format!(
        "alert http $HOME_NET any -> any $HTTP_PORTS ({options} sid:1; rev:2;)"
    ))
}

fn rule(options: &str) -> Rule {
    read(options).unwrap_or_else(|error| panic!("{options}: {error}"))
}

fn packet_rule(options: &str) -> Result<Rule, RuleError> {
    let variables = Variables::default();
    Reader::new(&variables).read(&format!("alert tcp any any -> any any ({options} sid:1;)"))
}

fn contents(rule: &Rule, section: usize) -> Vec<&Content> {
    rule.sections[section]
        .matchers
        .iter()
        .filter_map(|matcher| match matcher {
            Matcher::Content(content) => Some(content),
            _ => None,
        })
        .collect()
}

fn only_matcher(options: &str) -> Matcher {
    let rule = rule(options);
    rule.sections[0].matchers.last().unwrap().clone()
}

const ZERO: Value = Value::Literal(0);

#[test]
fn a_rule_says_who_it_is() {
    let rule = rule(
        r#"msg:"a \"b\"\; c"; classtype:web-attack; priority:2; reference:cve,2021-1; reference:url,example.org/x; metadata:created_at 2020_01_01, deployment Perimeter;"#,
    );
    assert_eq!((rule.gid, rule.sid, rule.revision), (1, 1, 2));
    assert_eq!(&*rule.message, r#"a "b"; c"#);
    assert_eq!(rule.class.as_deref(), Some("web-attack"));
    assert_eq!(rule.priority, Some(2));
    assert_eq!(rule.references.len(), 2);
    assert_eq!(&*rule.metadata[1], "deployment Perimeter");
    assert_eq!(rule.app(), Some(App::Http));
}

#[test]
fn actions_are_those_of_the_header() {
    let variables = Variables::default();
    let mut reader = Reader::new(&variables);
    for (word, action) in [
        ("alert", Action::Alert),
        ("drop", Action::Drop),
        ("reject", Action::Reject),
        ("rejectboth", Action::Reject),
        ("pass", Action::Pass),
    ] {
        let rule = reader
            .read(&format!(
                "{word} tcp any any -> any any (content:\"a\"; sid:1;)"
            ))
            .unwrap();
        assert_eq!(rule.action, action);
    }
    let refused = reader.read("log tcp any any -> any any (content:\"a\"; sid:1;)");
    assert_eq!(refused.unwrap_err(), RuleError::Action("log".into()));
}

#[test]
fn contents_keep_their_modifiers() {
    let rule = rule(
        r#"content:"A|42|c"; nocase; offset:3; depth:10; fast_pattern; content:!"x"; distance:-2; within:7; content:"GET"; startswith; content:"z"; endswith; rawbytes;"#,
    );
    let contents = contents(&rule, 0);
    assert_eq!(&*contents[0].pattern, b"abc");
    assert!(contents[0].nocase && contents[0].fast);
    assert_eq!(
        contents[0].place,
        Place::Absolute {
            offset: Value::Literal(3),
            depth: Some(Value::Literal(10)),
        }
    );
    assert!(contents[1].negated);
    assert_eq!(
        contents[1].place,
        Place::Relative {
            distance: Value::Literal(-2),
            within: Some(Value::Literal(7)),
        }
    );
    assert_eq!(
        contents[2].place,
        Place::Absolute {
            offset: ZERO,
            depth: Some(Value::Literal(3)),
        }
    );
    assert!(contents[3].ends_buffer);
}

#[test]
fn a_modifier_behind_another_keyword_is_still_about_the_content() {
    let rule = rule(r#"http.user_agent; content:"zgrab/0.x"; bsize:9; fast_pattern; nocase;"#);
    assert!(contents(&rule, 0)[0].fast && contents(&rule, 0)[0].nocase);
}

#[test]
fn contents_without_room_are_refused() {
    for options in [
        r#"content:"abcd"; depth:3;"#,
        r#"content:"abcd"; within:3;"#,
        r#"content:"abc"; offset:-1;"#,
        r#"content:"abc"; distance:2000000;"#,
        r#"http.uri; content:"abcdef"; bsize:5;"#,
        r#"http.uri; content:"abcdef"; offset:2; bsize:<8;"#,
        r#"content:"abc"; depth:3; distance:1;"#,
        r#"content:"abc"; offset:3; startswith;"#,
        r#"content:"";"#,
        r#"nocase; content:"a";"#,
    ] {
        assert!(read(options).is_err(), "{options}");
    }
}

#[test]
fn sticky_buffers_hold_until_the_next_and_old_modifiers_look_back() {
    let new = rule(
        r#"http.method; content:"POST"; http.uri; content:"/a"; content:"b"; distance:0; pkt_data; content:"raw";"#,
    );
    let buffers: Vec<_> = new.sections.iter().map(|section| section.buffer).collect();
    assert_eq!(
        buffers,
        [Buffer::HttpMethod, Buffer::HttpUri, Buffer::Payload]
    );
    assert_eq!(new.sections[1].matchers.len(), 2);

    let old = rule(
        r#"content:"POST"; http_method; content:"/a"; http_uri; content:"b"; http_uri; distance:0; content:"raw"; uricontent:"c"; pcre:"/d/U";"#,
    );
    for (buffer, matchers) in [
        (Buffer::HttpMethod, 1),
        (Buffer::HttpUri, 4),
        (Buffer::Payload, 1),
    ] {
        let section = old.sections.iter().find(|it| it.buffer == buffer).unwrap();
        assert_eq!(section.matchers.len(), matchers, "{buffer}");
    }
}

#[test]
fn a_buffer_selected_again_is_the_same_one() {
    let rule = rule(
        r#"http.uri; content:"a"; http.header; content:"b"; http.uri; content:"c"; distance:0;"#,
    );
    assert_eq!(rule.sections.len(), 2);
    assert_eq!(rule.sections[0].matchers.len(), 2);
}

#[test]
fn transforms_belong_to_their_buffer() {
    let rule = rule(
        r#"http.host; dotprefix; content:".example.com"; endswith; http.uri; url_decode; to_lowercase; content:"a";"#,
    );
    assert_eq!(&*rule.sections[0].transforms, [Transform::DotPrefix]);
    assert_eq!(
        &*rule.sections[1].transforms,
        [Transform::UrlDecode, Transform::ToLowercase]
    );
    assert!(read(r#"to_lowercase; content:"a";"#).is_err());
    assert!(read(r#"http.uri; content:"a"; to_lowercase;"#).is_err());
    assert!(read(r#"http.uri; to_md5; content:"a";"#).is_err());
}

#[test]
fn buffers_of_both_directions_in_one_rule_can_never_match() {
    for options in [
        r#"http.uri; content:"a"; http.stat_code; content:"200";"#,
        r#"flow:to_client; http.uri; content:"a";"#,
        r#"flow:to_server; http.response_body; content:"a";"#,
    ] {
        assert!(
            matches!(read(options), Err(RuleError::Never(_))),
            "{options}"
        );
    }
    assert!(read(r#"flow:to_client; file.data; content:"a"; http.header; content:"b";"#).is_ok());
}

#[test]
fn lengths_of_addresses_and_buffers_are_compared() {
    let rule = rule("urilen:>200; http.cookie; bsize:10<>20; urilen:5,raw;");
    let buffers: Vec<_> = rule.sections.iter().map(|section| section.buffer).collect();
    assert_eq!(
        buffers,
        [Buffer::HttpUri, Buffer::HttpCookie, Buffer::HttpUriRaw]
    );
    assert!(
        matches!(rule.sections[1].matchers[0], Matcher::Size(size) if size.holds(11) && !size.holds(10))
    );
}

#[test]
fn numbers_are_read_from_bytes() {
    let Matcher::Test(test) =
        only_matcher(r#"content:"a"; byte_test:4,!&,0x80,-6,relative,little,bitmask 0xff00;"#)
    else {
        panic!("byte_test")
    };
    assert_eq!(test.operator, Operator::And);
    assert!(test.negated && test.reading.relative);
    assert_eq!(test.reading.offset, Value::Literal(-6));
    assert_eq!(test.reading.notation, Notation::LittleEndian);
    assert_eq!(
        (test.value, test.mask),
        (Value::Literal(0x80), Some(0xff00))
    );

    let Matcher::Jump(jump) =
        only_matcher("byte_jump:2,4,relative,multiplier 3,align,from_beginning,post_offset -4;")
    else {
        panic!("byte_jump")
    };
    assert_eq!((jump.multiplier, jump.align), (3, true));
    assert_eq!(jump.from, JumpFrom::Beginning);
    assert_eq!(jump.post_offset, Value::Literal(-4));

    let Matcher::Math(math) = only_matcher(
        "byte_extract:1,0,first; byte_math:bytes 4, offset 1, oper <<, rvalue first, result sum, relative, string hex;",
    ) else {
        panic!("byte_math")
    };
    assert_eq!(math.operator, Arithmetic::ShiftLeft);
    assert_eq!((math.operand, math.into), (Value::Variable(0), 1));
    assert_eq!(math.reading.notation, Notation::Hexadecimal);
}

#[test]
fn a_number_that_was_read_serves_as_one() {
    let rule = rule(
        r#"content:"a"; byte_extract:2,0,size,relative; content:"b"; distance:size; within:size; isdataat:!size,relative;"#,
    );
    assert_eq!(
        contents(&rule, 0)[1].place,
        Place::Relative {
            distance: Value::Variable(0),
            within: Some(Value::Variable(0)),
        }
    );
    assert!(read(r#"content:"b"; distance:later; byte_extract:2,0,later;"#).is_err());
    assert!(read("byte_test:9,=,1,0;").is_err());
    assert!(read("byte_test:1,=,1,0,dce;").is_err());
    assert!(read("byte_test:1,~,1,0;").is_err());
}

#[test]
fn decoded_bytes_have_conditions_of_their_own() {
    let rule = rule(
        r#"http.request_body; content:"x="; base64_decode:bytes 300, offset 2, relative; base64_data; content:"BBO"; startswith; content:"y"; distance:1;"#,
    );
    assert_eq!(rule.sections.len(), 1);
    let Matcher::Decode(decode) = &rule.sections[0].matchers[1] else {
        panic!("base64_decode")
    };
    assert_eq!(
        (decode.limit_bytes, decode.offset, decode.relative),
        (300, 2, true)
    );
    assert_eq!(decode.then.len(), 2);
    assert!(read(r#"base64_data; content:"a";"#).is_err());
    assert!(read("base64_decode:bytes 70000;").is_err());
}

#[test]
fn packets_are_tested_by_their_headers() {
    let rule = packet_rule(
        "flags:S,12; dsize:>100; ttl:<5; id:7; itype:8; icode:0; window:!1024; seq:1; ack:0; ip_proto:GRE; fragbits:M+; fragoffset:>0; sameip; ipopts:lsrr; tos:!8; tcp.mss:<536; icmp_id:1; icmp_seq:2; stream_size:client,<,10;",
    )
    .unwrap();
    assert_eq!(rule.packet.len(), 19);
    assert_eq!(
        rule.packet[0],
        PacketTest::TcpFlags {
            want: 2,
            mode: BitMode::Exactly,
            ignored: 0xc0,
        }
    );
    assert_eq!(
        rule.packet[10],
        PacketTest::Fragment {
            want: 1,
            mode: BitMode::AtLeast,
        }
    );
    assert!(matches!(
        rule.packet[18],
        PacketTest::StreamSize(StreamSide::Initiator, size) if size.holds(9) && !size.holds(10)
    ));
    for options in [
        "flags:Q;",
        "ttl:300x;",
        "ipopts:mine;",
        "dsize:5; http.uri; content:\"a\";",
    ] {
        assert!(packet_rule(options).is_err(), "{options}");
    }
}

#[test]
fn flows_bits_and_rates_are_read() {
    let rule = rule(
        "flow:established,to_server,no_frag; flowbits:set,a.b; flowbits:isset,c|d; flowbits:noalert; xbits:set,e,track ip_pair,expire 60; xbits:isnotset,f, track ip_src; threshold: type both, track by_dst, count 5, seconds 60; detection_filter:track by_src,count 15,seconds 2;",
    );
    assert_eq!(rule.flow.direction, Some(Direction::ToResponder));
    assert_eq!(rule.flow.established, Some(true));
    assert!(rule.is_silent);
    assert_eq!(rule.bits[0].change, BitChange::Set);
    assert_eq!(rule.bits[1].names.len(), 2);
    assert_eq!(rule.bits[2].owner, BitOwner::Pair { seconds: 60 });
    assert_eq!(rule.bits[3].owner, BitOwner::Source { seconds: 30 });
    assert_eq!(
        *rule.rates,
        [
            Rate {
                kind: RateKind::Both,
                track: Track::ByDestination,
                count: 5,
                seconds: 60,
            },
            Rate {
                kind: RateKind::Filter,
                track: Track::BySource,
                count: 15,
                seconds: 2,
            },
        ]
    );
    for options in [
        "flow:to_server,to_client;",
        "flow:sideways;",
        "flowbits:set;",
        "flowbits:mark,a;",
        "xbits:set,a;",
        "xbits:set,a,track ip_src,expire 0;",
        "threshold:type limit,track by_src,count 1;",
        "threshold:type limit,track by_src,count 0,seconds 1;",
        "flow:only_stream,no_stream;",
    ] {
        assert!(read(options).is_err(), "{options}");
    }
}

#[test]
fn a_buffer_may_have_to_be_absent() {
    let rule = rule(r#"http.referer; absent; http.cookie; absent:or_else; content:!"a";"#);
    assert_eq!(rule.sections[0].absent, Absent::Must);
    assert_eq!(rule.sections[1].absent, Absent::Or);
    assert!(read("absent;").is_err());
}

#[test]
fn expressions_are_compiled_and_placed() {
    let rule = rule(r#"http.uri; content:"a"; pcre:!"/^b\d+$/Ri";"#);
    let Matcher::Regex(regex) = &rule.sections[0].matchers[1] else {
        panic!("pcre")
    };
    assert!(regex.negated && regex.relative && regex.regex.is_anchored);
    assert!(matches!(
        read(r#"pcre:"/a(?=b)/";"#),
        Err(RuleError::Regex(_))
    ));
    assert!(matches!(
        read(r#"pcre:"/(a)/, flow:x";"#),
        Err(RuleError::Regex(_))
    ));
}

#[test]
fn what_cannot_be_used_says_why() {
    for (options, message) in [
        ("lua:x.lua;", "'lua' can't be used: scripts are not run"),
        ("contant:\"a\";", "unknown keyword 'contant'"),
        (
            "depth:x;",
            "'depth:x': is no number in range, nor one that was read before",
        ),
        ("msg:\"a\"; content:a;", "'content:a': a quote is missing"),
    ] {
        assert_eq!(read(options).unwrap_err().to_string(), message);
    }
    let variables = Variables::default();
    let mut reader = Reader::new(&variables);
    assert_eq!(
        reader
            .read("alert tcp $NOWHERE any -> any any (sid:1;)")
            .unwrap_err(),
        RuleError::Set(SetError::Variable("NOWHERE".into()))
    );
    assert_eq!(
        reader
            .read("alert carrier any any -> any any (sid:1;)")
            .unwrap_err(),
        RuleError::Protocol("carrier".into())
    );
    assert_eq!(
        reader
            .read("alert tcp any any -> any any (content:\"a\";)")
            .unwrap_err(),
        RuleError::NoSid
    );
}

#[test]
fn the_number_of_conditions_is_bounded() {
    let many = r#"content:"a"; "#.repeat(MATCHERS + 1);
    assert!(matches!(read(&many), Err(RuleError::TooMany { .. })));
    let names: String = (0..9)
        .map(|n| format!("byte_extract:1,{n},v{n}; "))
        .collect();
    assert!(matches!(read(&names), Err(RuleError::TooMany { .. })));
}

#[test]
fn a_sid_is_found_in_what_is_no_rule() {
    assert_eq!(sid_of("alert (msg:\"x\"; sid:77; rev:1;)"), Some(77));
    assert_eq!(sid_of("alert (msg:\"x\";)"), None);
}
