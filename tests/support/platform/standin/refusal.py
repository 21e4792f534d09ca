# SPDX-License-Identifier: MIT
"""What the platform says no with: a status, a code of its table and a text in the caller's language."""

# code: HTTP status, text in Chinese, text in English; {what} is filled in by whoever refuses.
CODES = {
    "500": (500, "内部错误：{what}", "Internal error: {what}"),
    "1000": (401, "身份验证失败", "Authentication failed"),
    "1001": (401, "Header中未收到Authorization参数，无法进行身份验证",
             "No Authorization parameter in the header, cannot authenticate"),
    "1002": (401, "Authorization Token非法，请确认Authorization Token正确传递",
             "The Authorization token is invalid, check how it is passed"),
    "1003": (401, "Authorization Token已过期，请重新生成/获取", "The Authorization token has expired, make a new one"),
    "1004": (401, "通过提供的Authorization Token验证失败", "Verification with the given Authorization token failed"),
    "1113": (429, "您的账户已欠费，请充值后重试", "The account is in arrears, recharge it and try again"),
    "1210": (400, "API 调用参数有误：{what}", "Wrong parameters of the call: {what}"),
    "1211": (400, "模型不存在，请检查模型代码：{what}", "Unknown model, check its code: {what}"),
    "1212": (400, "当前模型不支持 {what} 调用方式", "The model does not support {what}"),
    "1213": (400, "未正常接收到 {what} 参数", "The parameter {what} was not received"),
    "1214": (400, "{what} 参数非法，请检查文档", "The parameter {what} is illegal, see the documentation"),
    "1215": (400, "{what} 不能同时设置，请检查文档", "{what} exclude each other, see the documentation"),
    "1220": (434, "无权访问 {what}", "No permission to use {what}"),
    "1222": (404, "API {what} 不存在", "The API {what} does not exist"),
    "1234": (500, "网络错误，请稍后重试", "Network error, try again later"),
    "1261": (400, "Prompt 超长：{what}", "The prompt is too long: {what}"),
    "1301": (400, "系统检测到输入或生成内容可能包含不安全或敏感内容", "Input or output may be unsafe or sensitive"),
    "1302": (429, "您当前使用该API的并发数过高，请降低并发", "Too many requests at once, lower the concurrency"),
    "1303": (429, "您当前使用该API的频率过高，请降低频率", "Too many requests in a short time, lower the frequency"),
    "1304": (429, "该API已达今日调用次数限额", "The daily limit of calls is reached"),
    "1305": (429, "当前API请求过多，请稍后重试", "Too many requests for this API, try again later"),
    "1308": (429, "已达到使用上限，限额将在 {what} 重置", "The usage limit is reached, it resets at {what}"),
}


class Refusal(Exception):
    """Ends a handler. `what` names the parameter, path or model that is wrong; `status` replaces the code's own."""

    def __init__(self, code, what="", status=None, headers=()):
        super().__init__(f"{code} {what}")
        self.code, self.what, self.headers = code, what, tuple(headers)
        self.status = status if status is not None else CODES[code][0]

    def text(self, english):
        return CODES[self.code][2 if english else 1].format(what=self.what)
