// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// Asks one contract many questions in one call. Whoever is asked sees this contract as the sender.
contract ManyCalls {
    struct Answer {
        bool ok;
        bytes data;
    }

    function ask(address to, bytes[] calldata questions) external view returns (Answer[] memory answers) {
        answers = new Answer[](questions.length);
        for (uint256 i = 0; i < questions.length; i++) {
            (answers[i].ok, answers[i].data) = to.staticcall(questions[i]);
        }
    }
}
