"""The kinds of personal data, and the labels that stand in their place, by language."""

import re
from collections.abc import Mapping
from typing import Literal, get_args

Kind = Literal[
    "email", "phone", "postal_code", "my_number", "corporate_number", "bank_account", "card", "name"
]

KINDS: tuple[Kind, ...] = get_args(Kind)

LABELS: Mapping[str, Mapping[Kind, str]] = {
    "ja": {
        "email": "[メールアドレス]",
        "phone": "[電話番号]",
        "postal_code": "[郵便番号]",
        "my_number": "[マイナンバー]",
        "corporate_number": "[法人番号]",
        "bank_account": "[口座番号]",
        "card": "[カード番号]",
        "name": "[人名]",
    },
    "en": {
        "email": "[e-mail address]",
        "phone": "[phone number]",
        "postal_code": "[postal code]",
        "my_number": "[My Number]",
        "corporate_number": "[corporate number]",
        "bank_account": "[account number]",
        "card": "[card number]",
        "name": "[person's name]",
    },
    "zh": {
        "email": "[电子邮箱]",
        "phone": "[电话号码]",
        "postal_code": "[邮政编码]",
        "my_number": "[个人番号]",
        "corporate_number": "[法人番号]",
        "bank_account": "[银行账号]",
        "card": "[卡号]",
        "name": "[人名]",
    },
    "th": {
        "email": "[อีเมล]",
        "phone": "[หมายเลขโทรศัพท์]",
        "postal_code": "[รหัสไปรษณีย์]",
        "my_number": "[หมายเลขประจำตัว]",
        "corporate_number": "[หมายเลขนิติบุคคล]",
        "bank_account": "[เลขที่บัญชี]",
        "card": "[หมายเลขบัตร]",
        "name": "[ชื่อบุคคล]",
    },
}
ANY_LABEL = re.compile(
    "|".join(sorted({re.escape(label) for some in LABELS.values() for label in some.values()}))
)
