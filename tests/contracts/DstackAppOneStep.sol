// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {DstackAppPolicy} from "./DstackAppPolicy.sol";

/// The older app contract: ownership moves at once; no `pendingOwner()`, `version()` or `requireTcbUpToDate()`.
contract DstackAppOneStep is DstackAppPolicy {
    function initialize(address owner_, bool noUpgrades, bool anyDevice, bytes32 deviceId, bytes32 composeHash)
        external
        initializer
    {
        _begin(owner_, noUpgrades, anyDevice, deviceId, composeHash);
    }

    function _needsFreshTcb() internal pure override returns (bool) {
        return false;
    }
}
