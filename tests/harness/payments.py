"""The side of payment platforms: notifications of WeChat and Alipay, signed as their manuals say."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key: rsa.RSAPrivateKey) -> str:
    """PKCS #8."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def public_pem(key: rsa.RSAPrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def xml_of(fields: Mapping[str, str], root: str = "xml") -> str:
    lines = [f"<{name}><![CDATA[{value}]]></{name}>" for name, value in fields.items()]
    return "\n".join([f"<{root}>", *lines, f"</{root}>"])


def wechat_signed(fields: Mapping[str, str], key: str, sign_type: str) -> dict[str, str]:
    """Version 2: `sign` over the sorted fields and the merchant's key, MD5 or HMAC-SHA256."""
    text = f"{_sorted_pairs(fields)}&key={key}".encode()
    if sign_type == "MD5":
        sign = hashlib.md5(text, usedforsecurity=False).hexdigest()
    else:
        sign = hmac.new(key.encode(), text, hashlib.sha256).hexdigest()
    return {**fields, "sign": sign.upper()}


def wechat_refund_info(fields: Mapping[str, str], key: str) -> str:
    """Version 2, `req_info`: AES-256-ECB under the MD5 of the merchant's key, in Base64."""
    secret = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest().encode()
    padder = padding.PKCS7(128).padder()
    padded = padder.update(xml_of(fields, "root").encode()) + padder.finalize()
    encryptor = Cipher(algorithms.AES(secret), modes.ECB()).encryptor()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def wechat_v3_body(transaction: Mapping[str, object], key: str, nonce: str) -> bytes:
    """Version 3: the transaction is sealed with AES-256-GCM under the merchant's key."""
    about = "transaction"
    sealed = AESGCM(key.encode()).encrypt(
        nonce.encode(), json.dumps(transaction, ensure_ascii=False).encode(), about.encode()
    )
    notification = {
        "id": "EV-2018022511223320873",
        "create_time": "2026-05-20T13:29:35+08:00",
        "resource_type": "encrypt-resource",
        "event_type": "TRANSACTION.SUCCESS",
        "summary": "支付成功",
        "resource": {
            "original_type": about,
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": base64.b64encode(sealed).decode(),
            "associated_data": about,
            "nonce": nonce,
        },
    }
    return json.dumps(notification, ensure_ascii=False).encode()


def wechat_v3_headers(body: bytes, platform: rsa.RSAPrivateKey, serial: str) -> dict[str, str]:
    """Version 3: RSA with SHA-256 over time, nonce and the body's bytes."""
    timestamp, nonce = "1716182975", "fdasflkja484w"
    signed = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
    return {
        "Wechatpay-Serial": serial,
        "Wechatpay-Timestamp": timestamp,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Signature": _rsa2(platform, signed),
    }


def alipay_signed(fields: Mapping[str, str], platform: rsa.RSAPrivateKey) -> dict[str, str]:
    """RSA2 over the sorted fields, before they are percent-encoded."""
    sign = _rsa2(platform, _sorted_pairs(fields).encode())
    return {**fields, "sign": sign, "sign_type": "RSA2"}


def _sorted_pairs(fields: Mapping[str, str]) -> str:
    return "&".join(f"{name}={fields[name]}" for name in sorted(fields) if fields[name])


def _rsa2(key: rsa.RSAPrivateKey, message: bytes) -> str:
    return base64.b64encode(key.sign(message, rsa_padding.PKCS1v15(), hashes.SHA256())).decode()
