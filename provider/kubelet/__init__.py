"""The kubelet API of a virtual node (:10250): who asks, may he, and then the guest's own kubelet answers.

In the order in which a request goes through it:

    server          one request a connection
    tls             the certificate that a connection sees (certificate), and where it comes from (certificates)
    head            the request's head, parsed and bounded (h11)
    routes          which Pod and container, and which right it takes (pure)
    authentication  bearer token or client certificate; neither: 401
    authorization   SubjectAccessReview; anything but a clear yes: 403
    splice          bytes to and from the guest's kubelet, untouched
    merge           node-wide answers, put together from all guests
"""
