"""Language: the script decides, then statistics; the same on every machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.core.language import LANGUAGES, UNKNOWN, detect_language, primary_language, script_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("강을 건너는 새 다리가 2일 열렸다.", "ko"),
        ("가상전자 AI 반도체 HBM4, CES 2026 Best of Innovation 수상", "ko"),
        ("美 금리 동결… 韓 증시 上昇", "ko"),
        ("Samsung, SK hynix, Nvidia, Google, Microsoft, Amazon 주가 하락 마감", "ko"),
        ("新しい橋が二日に開通しました。", "ja"),
        ("カタカナだけの見出し", "ja"),
        ("新大桥于二日正式通车。", "zh"),
        ("The council voted on Tuesday to widen the old bridge over the river.", "en"),
        ("THE COUNCIL VOTED ON TUESDAY TO WIDEN THE OLD BRIDGE OVER THE RIVER.", "en"),
        ("Der Stadtrat beschloss am Dienstag, die alte Brücke über den Fluss zu verbreitern.", "de"),
        ("Le conseil municipal a voté mardi l'élargissement du vieux pont sur la rivière.", "fr"),
        ("El ayuntamiento aprobó el martes ampliar el viejo puente sobre el río.", "es"),
        ("Городской совет во вторник решил расширить старый мост через реку.", "ru"),
        ("Міська рада у вівторок вирішила розширити старий міст через річку.", "uk"),
        ("قرر مجلس المدينة يوم الثلاثاء توسيع الجسر القديم فوق النهر.", "ar"),
        ("สภาเมืองลงมติเมื่อวันอังคารให้ขยายสะพานเก่าข้ามแม่น้ำ", "th"),
        ("Hội đồng thành phố hôm thứ Ba đã bỏ phiếu mở rộng cây cầu cũ bắc qua sông.", "vi"),
        ("", UNKNOWN),
        ("12,345.67 % (2026)", UNKNOWN),
        ("https://www.example.com/the/council/voted", UNKNOWN),
        ("NATO", UNKNOWN),
        ("\ud800" * 50, UNKNOWN),
    ],
)
def test_detects(text: str, language: str) -> None:
    assert detect_language(text) == language


def test_a_tenth_of_hangul_is_korean_and_less_is_not() -> None:
    assert script_language("x" * 90 + "가" * 10) == "ko"
    assert script_language("x" * 91 + "가" * 9) == ""


@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_any_text_has_one_language(text: str) -> None:
    language = detect_language(text)
    assert language in (*LANGUAGES, UNKNOWN)
    assert detect_language(text) == language


@pytest.mark.parametrize(
    ("tag", "primary"),
    [
        ("ko", "ko"),
        ("ko-KR", "ko"),
        ("en_US", "en"),
        (" EN ", "en"),
        ("kor", "ko"),
        ("zh-Hant-TW", "zh"),
        ("iw", "he"),
        ("und", ""),
        ("english", ""),
        ("ko; q=1", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_primary_language(tag: str | None, primary: str) -> None:
    assert primary_language(tag) == primary
