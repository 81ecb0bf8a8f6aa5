//! Each keyword, on a datagram where it makes the difference.

use super::matches;

#[track_caller]
fn check(options: &str, cases: &[(&[u8], bool)]) {
    for (payload, expected) in cases {
        assert_eq!(
            matches(options, payload),
            *expected,
            "{options} on {:?}",
            String::from_utf8_lossy(payload)
        );
    }
}

#[test]
fn content_is_found_anywhere_in_its_case_or_any() {
    check(
        r#"content:"abc";"#,
        &[(b"xxabc", true), (b"xxABC", false), (b"ab", false)],
    );
    check(
        r#"content:"aBc"; nocase;"#,
        &[(b"xxabc", true), (b"ABC", true), (b"ab c", false)],
    );
    check(
        r#"content:"|00 ff|";"#,
        &[(&[1, 0, 255], true), (&[255, 0], false)],
    );
    check(
        r#"content:"abcdefghijklmnopqrstuvwxyz";"#,
        &[
            (b"..abcdefghijklmnopqrstuvwxyz", true),
            (b"..abcdefghijklmnopqrstuvwxy", false),
        ],
    );
}

#[test]
fn offset_and_depth_count_from_the_beginning() {
    check(
        r#"content:"ab"; offset:2;"#,
        &[(b"ab..", false), (b"..ab", true), (b"abab", true)],
    );
    check(
        r#"content:"ab"; depth:3;"#,
        &[(b".ab", true), (b"..ab", false)],
    );
    check(
        r#"content:"ab"; offset:1; depth:3;"#,
        &[
            (b"ab..", false),
            (b".ab.", true),
            (b"..ab", true),
            (b"...ab", false),
        ],
    );
    check(
        r#"content:"ab"; startswith;"#,
        &[(b"ab", true), (b"xab", false)],
    );
    check(
        r#"content:"ab"; endswith;"#,
        &[(b"xab", true), (b"abx", false), (b"abxab", true)],
    );
    check(
        r#"content:"ab"; offset:1; endswith;"#,
        &[(b"ab", false), (b".ab", true)],
    );
}

#[test]
fn distance_and_within_count_from_the_last_match() {
    check(
        r#"content:"a"; content:"b"; distance:2;"#,
        &[
            (b"ab", false),
            (b"a.b", false),
            (b"a..b", true),
            (b"a.b.b", true),
        ],
    );
    check(
        r#"content:"a"; content:"bc"; within:3;"#,
        &[
            (b"abc", true),
            (b"a.bc", true),
            (b"a..bc", false),
            (b"a..a.bc", true),
        ],
    );
    check(
        r#"content:"a"; content:"b"; distance:1; within:2;"#,
        &[
            (b"ab", false),
            (b"a.b", true),
            (b"a..b", true),
            (b"a...b", false),
        ],
    );
    check(
        r#"content:"abc"; content:"bcd"; distance:-2;"#,
        &[(b"abcd", true), (b"bcdabc", false)],
    );
    // The first `a` leads nowhere, the second does.
    check(
        r#"content:"a"; content:"b"; within:1; content:"c"; within:1;"#,
        &[(b"ab.abc", true), (b"ab.bc", false)],
    );
}

#[test]
fn what_is_negated_must_not_be_there() {
    check(
        r#"content:"a"; content:!"b";"#,
        &[(b"a", true), (b"ab", false), (b"ba", false)],
    );
    check(
        r#"content:"a"; content:!"b"; within:2;"#,
        &[(b"a..b", true), (b"a.b", false), (b"a.ba", true)],
    );
    check(
        r#"content:"a"; content:!"b"; depth:2;"#,
        &[(b"ab", false), (b"a.b", true)],
    );
    check(
        r#"content:"a"; content:!"b"; endswith;"#,
        &[(b"ba", true), (b"ab", false)],
    );
}

#[test]
fn isdataat_asks_for_bytes_as_the_documentation_counts_them() {
    // "Consider a 32 byte payload."
    let payload = &[b'x'; 32][..];
    for (options, expected) in [
        ("isdataat:31;", true),
        ("isdataat:32;", false),
        ("isdataat:31,relative;", true),
        ("isdataat:32,relative;", true),
        ("isdataat:33,relative;", false),
        ("isdataat:!32;", true),
    ] {
        assert_eq!(
            matches(&format!("dsize:32; {options}"), payload),
            expected,
            "{options}"
        );
    }
    check(
        r#"content:"c"; isdataat:5,relative;"#,
        &[(b"abcdefgh", true)],
    );
    check(
        r#"content:"c"; isdataat:6,relative;"#,
        &[(b"abcdefgh", false)],
    );
    check(
        r#"content:"c"; isdataat:!1,relative;"#,
        &[(b"abc", true), (b"abcd", false), (b"cbc", true)],
    );
}

#[test]
fn sizes_are_those_of_the_buffer() {
    check(
        r#"content:"a"; bsize:3;"#,
        &[(b"a..", true), (b"a.", false)],
    );
    check(
        r#"content:"a"; bsize:>3;"#,
        &[(b"a..", false), (b"a...", true)],
    );
    check(
        r#"content:"a"; dsize:2<>4;"#,
        &[(b"a.", false), (b"a..", true), (b"a...", false)],
    );
}

#[test]
fn byte_test_compares_numbers() {
    check(
        r#"content:"L"; byte_test:2,>,1000,0,relative;"#,
        &[
            (b"L\x03\xe8", false),
            (b"L\x03\xe9", true),
            (b"L\x03", false),
        ],
    );
    check(
        "byte_test:2,=,0x0102,0,little;",
        &[(&[2, 1], true), (&[1, 2], false)],
    );
    check(
        "byte_test:1,&,0x80,0;",
        &[(&[0x81], true), (&[0x7f], false)],
    );
    check(
        "byte_test:1,!&,0x80,0;",
        &[(&[0x81], false), (&[0x7f], true)],
    );
    check("byte_test:1,^,1,0;", &[(&[1], false), (&[2], true)]);
    check(
        "byte_test:3,!=,7,0;",
        &[(&[0, 0, 7], false), (&[1, 0, 7], true)],
    );
    check(
        "byte_test:0,>=,450,0,string,dec;",
        &[
            (b"450", true),
            (b" 0451x", true),
            (b"449", false),
            (b"x450", false),
        ],
    );
    check(
        "byte_test:4,=,0xff,0,string,hex;",
        &[(b"00ff", true), (b"00fe", false)],
    );
    check(
        "byte_test:1,=,3,0,bitmask 0xf0;",
        &[(&[0x3f], true), (&[0xf3], false)],
    );
    check(
        r#"content:"abcd"; byte_test:1,=,97,-4,relative;"#,
        &[(b"abcd", true)],
    );
}

#[test]
fn byte_jump_moves_on_by_a_number() {
    check(
        r#"content:"L"; byte_jump:1,0,relative; content:"x"; within:1;"#,
        &[
            (b"L\x02..x", true),
            (b"L\x02.x.", false),
            (b"L\x09..x", false),
        ],
    );
    check(
        r#"byte_jump:1,0,from_beginning,post_offset 1; content:"x"; within:1;"#,
        &[(b"\x02..x", true), (b"\x02x..", false)],
    );
    check(
        r#"content:"a"; byte_jump:0,0,from_end,post_offset -2; content:"x"; within:1;"#,
        &[(b"a...x.", true), (b"ax....", false)],
    );
    check(
        r#"byte_jump:1,0,multiplier 2,align; content:"x"; within:1;"#,
        &[(b"\x01....x", true), (b"\x01..x..", false)],
    );
    check(
        r#"content:"bcd"; byte_jump:0,0,relative,post_offset -3; content:"b"; within:1;"#,
        &[(b"abcd", true)],
    );
}

#[test]
fn numbers_that_were_read_are_used() {
    check(
        r#"content:"L"; byte_extract:1,0,n,relative; content:"x"; distance:n; within:1;"#,
        &[
            // From the last match, which is `L`: the number itself counts.
            (b"L\x02.x", true),
            (b"L\x02..x", false),
        ],
    );
    check(
        r#"byte_extract:1,0,n; byte_test:1,=,n,1;"#,
        &[(&[7, 7], true), (&[7, 8], false)],
    );
    check(
        r#"byte_math:bytes 1, offset 0, oper +, rvalue 3, result n; byte_test:1,=,n,1;"#,
        &[(&[7, 10], true), (&[7, 11], false)],
    );
    check(
        r#"byte_math:bytes 1, offset 0, oper /, rvalue 0, result n; byte_test:1,=,n,1;"#,
        &[(&[7, 0], false)],
    );
    check(
        r#"byte_extract:1,0,n,multiplier 2; isdataat:!n;"#,
        &[(&[2, 0, 0, 0], true), (&[1, 0, 0], false)],
    );
}

#[test]
fn expressions_match_and_are_relative() {
    check(
        r#"pcre:"/^a\d+$/";"#,
        &[(b"a12", true), (b"a12\n", true), (b"xa12", false)],
    );
    check(
        r#"content:"key="; pcre:"/^[0-9]{3}/R";"#,
        &[
            (b"key=123", true),
            (b"key=12.", false),
            (b"key=key=123", true),
        ],
    );
    check(
        r#"content:"a"; pcre:!"/b.*c/";"#,
        &[(b"a", true), (b"abxc", false)],
    );
    check(
        r#"pcre:"/a+/"; content:"b"; within:1;"#,
        &[(b"aab", true), (b"aa.b", false), (b"a.aab", true)],
    );
    check(
        r#"pcre:"/\bend$/i";"#,
        &[(b"the END", true), (b"bend", false)],
    );
}

#[test]
fn base64_is_decoded_and_looked_into() {
    check(
        r#"content:"d="; base64_decode:offset 0,relative; base64_data; content:"hell"; startswith; content:"o"; distance:0;"#,
        &[
            (b"d=aGVsbG8=", true),
            (b"d=eGhlbGxv", false),
            (b"d=!!", false),
        ],
    );
    check(
        r#"content:"d="; base64_decode:bytes 4,relative; base64_data; content:"hello";"#,
        &[(b"d=aGVsbG8=", false)],
    );
}

#[test]
fn transforms_come_first() {
    check(
        r#"pkt_data; url_decode; content:"<script";"#,
        &[(b"%3Cscript", true), (b"3Cscript", false)],
    );
    check(
        r#"pkt_data; strip_whitespace; to_lowercase; content:"ab";"#,
        &[(b"A \t B", true)],
    );
}

#[test]
fn prefixes_and_wishes_change_nothing() {
    check(
        r#"content:"abc"; fast_pattern:1,2; rawbytes; content:"d"; prefilter;"#,
        &[(b"dabc", true), (b"dab", false)],
    );
    check(
        r#"content:"abc"; fast_pattern:only; tag:session,5,packets; target:src_ip;"#,
        &[(b"abc", true)],
    );
}
